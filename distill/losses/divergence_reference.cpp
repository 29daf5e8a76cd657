// The formulas of docs/distillation.md, written with tensor operations and left to autograd. Legend: T
// tokens, V classes; lp, lq the log-probabilities of teacher and student.
#include <ATen/ATen.h>

#include <tuple>

#include "distill/losses/divergence.h"

namespace bitlaw::distill {
namespace {

using at::Tensor;

struct Pair {
  Tensor lp, lq, p, q;  // [T, V]
};

at::ScalarType compute_type(const Tensor& logits) {
  return logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

Pair probabilities(const Tensor& student_TV, const Tensor& teacher_TV, double temperature) {
  const auto type = compute_type(student_TV);
  Pair pair;
  pair.lp = at::log_softmax(teacher_TV.detach().to(type) / temperature, -1);
  pair.lq = at::log_softmax(student_TV.to(type) / temperature, -1);
  pair.p = pair.lp.exp();
  pair.q = pair.lq.exp();
  return pair;
}

Tensor top_k_mask(const Tensor& logits_TV, std::int64_t k) {
  const Tensor order = std::get<1>(at::sort(logits_TV.detach(), /*stable=*/true, -1, /*descending=*/true));
  return at::zeros_like(logits_TV, logits_TV.options().dtype(at::kBool).requires_grad(false))
      .scatter_(-1, order.slice(-1, 0, k), true);
}

Tensor head_mask(const DivergenceSpec& spec, const Tensor& student_TV, const Tensor& teacher_TV) {
  if (spec.set_source == SetSource::teacher) return top_k_mask(teacher_TV, spec.top_k);
  if (spec.set_source == SetSource::student) return top_k_mask(student_TV, spec.top_k);
  return top_k_mask(teacher_TV, spec.top_k) | top_k_mask(student_TV, spec.top_k);
}

Tensor forward_terms(const Pair& pair) {
  return pair.p * (pair.lp - pair.lq);
}
Tensor reverse_terms(const Pair& pair) {
  return pair.q * (pair.lq - pair.lp);
}

// Sum over the classes of `mask` of one direction's terms, with its mass term if the norm has one.
Tensor partial_sum(const Pair& pair, const Tensor& mask_TV, Direction direction, Norm norm) {
  if (direction == Direction::none) return at::zeros_like(pair.lq.select(-1, 0));
  const bool forward = direction == Direction::forward;
  Tensor terms = forward ? forward_terms(pair) : reverse_terms(pair);
  if (norm == Norm::generalised) terms = terms + (forward ? pair.q - pair.p : pair.p - pair.q);
  return (terms * mask_TV).sum(-1);
}

// One set in the exact decomposition. Where the set is empty, every number is that of the set of all classes,
// so that no logarithm of an empty sum enters the graph; `present` is 0 there.
struct SetMass {
  Tensor present;  // [T], 0 or 1
  Tensor log_p, log_q;
  Tensor kl_forward, kl_reverse;  // of the conditional distributions
};

SetMass set_mass(const Pair& pair, const Tensor& mask_TV) {
  const Tensor some = mask_TV.any(-1, /*keepdim=*/true);
  const Tensor mask = mask_TV | some.logical_not();
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  SetMass set;
  set.present = some.squeeze(-1).to(pair.lq.scalar_type());
  set.log_p = at::logsumexp(pair.lp.masked_fill(mask.logical_not(), minus_infinity), -1);
  set.log_q = at::logsumexp(pair.lq.masked_fill(mask.logical_not(), minus_infinity), -1);
  const Tensor lp = pair.lp - set.log_p.unsqueeze(-1);
  const Tensor lq = pair.lq - set.log_q.unsqueeze(-1);
  const Tensor zero = at::zeros_like(lp).detach();
  set.kl_forward = at::where(mask, at::where(mask, lp, zero).exp() * (lp - lq), zero).sum(-1);
  set.kl_reverse = at::where(mask, at::where(mask, lq, zero).exp() * (lq - lp), zero).sum(-1);
  return set;
}

Tensor mass_term(const SetMass& set, Direction direction) {
  const Tensor forward = set.log_p.exp() * (set.log_p - set.log_q);
  const Tensor reverse = set.log_q.exp() * (set.log_q - set.log_p);
  return set.present * (direction == Direction::forward ? forward : reverse);
}

Tensor within_term(const SetMass& set, Direction direction) {
  if (direction == Direction::none) return at::zeros_like(set.log_q);
  return set.present * (direction == Direction::forward ? set.log_p.exp() * set.kl_forward
                                                        : set.log_q.exp() * set.kl_reverse);
}

// The term between the two masses has the head's direction and lambda; the tail's where the head has no term.
Tensor conditional_loss(const DivergenceSpec& spec, const Pair& pair, const Tensor& head_TV) {
  const SetMass head = set_mass(pair, head_TV);
  const SetMass tail = set_mass(pair, head_TV.logical_not());
  const bool head_leads = spec.head != Direction::none && spec.lambda_head > 0;
  const Direction direction = head_leads ? spec.head : spec.tail;
  const double lambda = head_leads ? spec.lambda_head : spec.lambda_tail;
  Tensor loss = lambda * (mass_term(head, direction) + mass_term(tail, direction));
  loss = loss + spec.lambda_head * within_term(head, spec.head);
  if (spec.norm == Norm::ghost) return loss;
  return loss + spec.lambda_tail * within_term(tail, spec.tail);
}

Tensor topkld(const DivergenceSpec& spec, const Pair& pair, const Tensor& head_TV) {
  if (spec.norm == Norm::conditional || spec.norm == Norm::ghost) {
    return conditional_loss(spec, pair, head_TV);
  }
  return spec.lambda_head * partial_sum(pair, head_TV, spec.head, spec.norm) +
         spec.lambda_tail * partial_sum(pair, head_TV.logical_not(), spec.tail, spec.norm);
}

// m = mix_p p + (1 - mix_p) q; weight_p KL(p || m) + weight_q KL(q || m)
Tensor mixture_divergence(const Pair& pair, double mix_p, double weight_p, double weight_q) {
  const Tensor log_m = at::logaddexp(pair.lp + std::log(mix_p), pair.lq + std::log1p(-mix_p));
  return (weight_p * pair.p * (pair.lp - log_m) + weight_q * pair.q * (pair.lq - log_m)).sum(-1);
}

Tensor adaptive_kl(const DivergenceSpec& spec, const Pair& pair, const Tensor& teacher_TV) {
  const Tensor order = std::get<1>(at::sort(teacher_TV.detach(), /*stable=*/true, -1, /*descending=*/true));
  const Tensor error = (pair.p - pair.q).abs().detach().gather(-1, order);
  Tensor in_head = pair.p.gather(-1, order).to(at::kDouble).cumsum(-1) <= spec.head_mass;
  in_head.select(-1, 0).fill_(true);
  const Tensor head_error = (error * in_head).sum(-1);
  const Tensor total = error.sum(-1);
  const Tensor share = at::where(total > 0, head_error / total, at::full_like(total, 0.5));
  return share * forward_terms(pair).sum(-1) + (1 - share) * reverse_terms(pair).sum(-1);
}

Tensor compare(const DivergenceSpec& spec, const Tensor& student_TV, const Tensor& teacher_TV) {
  const Pair pair = probabilities(student_TV, teacher_TV, spec.temperature);
  switch (spec.loss) {
    case Loss::forward_kl:
      return forward_terms(pair).sum(-1);
    case Loss::reverse_kl:
      return reverse_terms(pair).sum(-1);
    case Loss::jsd:
      return mixture_divergence(pair, spec.beta, spec.beta, 1 - spec.beta);
    case Loss::cakld:
      return spec.beta * reverse_terms(pair).sum(-1) + (1 - spec.beta) * forward_terms(pair).sum(-1);
    case Loss::skew_forward_kl:
      return mixture_divergence(pair, spec.alpha, 1, 0);
    case Loss::skew_reverse_kl:
      return mixture_divergence(pair, 1 - spec.alpha, 0, 1);
    case Loss::akl:
      return adaptive_kl(spec, pair, teacher_TV);
    default:
      return topkld(spec, pair, head_mask(spec, student_TV, teacher_TV));
  }
}

}  // namespace

Tensor divergence_reference(const DivergenceSpec& spec, const Tensor& student_TV, const Tensor& teacher_TV,
                            const Tensor& targets_T) {
  TORCH_CHECK(student_TV.dim() == 2, "student logits must be [T, V]");
  const Tensor student = student_TV.to(compute_type(student_TV));
  if (spec.loss == Loss::cross_entropy) {
    return -at::log_softmax(student, -1).gather(-1, targets_T.unsqueeze(-1)).squeeze(-1);
  }
  TORCH_CHECK(teacher_TV.sizes() == student_TV.sizes(), "teacher logits must have the student's shape");
  if (spec.loss == Loss::mse)
    return (student - teacher_TV.detach().to(student.scalar_type())).square().mean(-1);
  return spec.temperature * spec.temperature * compare(spec, student, teacher_TV);
}

}  // namespace bitlaw::distill
