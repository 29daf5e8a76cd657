#include "distill/losses/kernels/row_law.h"

#include <algorithm>
#include <cmath>

namespace bitlaw::distill::kernels {
namespace {

// log of sum_head exp + sum_tail exp, each given relative to its shift; the sum of an empty set is 0
double log_normaliser(double head, double head_shift, double tail, double tail_shift) {
  if (head == 0) return tail_shift + std::log(tail);
  if (tail == 0) return head_shift + std::log(head);
  const double shift = std::max(head_shift, tail_shift);
  return shift + std::log(head * std::exp(head_shift - shift) + tail * std::exp(tail_shift - shift));
}

SetStatistics set_statistics(const SetSums& sums, double log_p_all, double log_q_all) {
  SetStatistics s;
  s.empty = sums.empty;
  if (sums.empty) return s;
  s.log_p = sums.p_shift + std::log(sums.p) - log_p_all;
  s.log_q = sums.q_shift + std::log(sums.q) - log_q_all;
  s.p = std::exp(s.log_p);
  s.q = std::exp(s.log_q);
  s.offset = (sums.q_shift - sums.p_shift) - (log_q_all - log_p_all);
  s.mean_p = sums.p_delta / sums.p + s.offset;
  s.mean_q = sums.q_delta / sums.q + s.offset;
  return s;
}

}  // namespace

RowStatistics row_statistics(const SetSums& head, const SetSums& tail) {
  const double log_p = log_normaliser(head.p, head.p_shift, tail.p, tail.p_shift);
  const double log_q = log_normaliser(head.q, head.q_shift, tail.q, tail.q_shift);
  return {set_statistics(head, log_p, log_q), set_statistics(tail, log_p, log_q)};
}

void RowLaw::add(const DivergenceSpec& spec) {
  switch (spec.loss) {
    case Loss::forward_kl:
      return add_kl(1, 0);
    case Loss::reverse_kl:
      return add_kl(0, 1);
    case Loss::cakld:
      return add_kl(1 - spec.beta, spec.beta);
    default:
      return add_topkld(spec);
  }
}

void RowLaw::add_kl(double forward_weight, double reverse_weight) {
  for (const int set : {kHead, kTail}) {
    if (forward_weight != 0) add_partial(set, Direction::forward, forward_weight);
    if (reverse_weight != 0) add_partial(set, Direction::reverse, reverse_weight);
  }
}

void RowLaw::add_topkld(const DivergenceSpec& spec) {
  if (spec.norm == Norm::naive || spec.norm == Norm::generalised) {
    add_partial(kHead, spec.head, spec.lambda_head);
    add_partial(kTail, spec.tail, spec.lambda_tail);
    if (spec.norm == Norm::naive) return;
    add_mass_difference(kHead, spec.head, spec.lambda_head);
    add_mass_difference(kTail, spec.tail, spec.lambda_tail);
    return;
  }
  // The term between the masses has the head's direction; the tail's where the head has no term.
  const bool head_leads = spec.head != Direction::none && spec.lambda_head > 0;
  for (const int set : {kHead, kTail}) {
    add_mass(set, head_leads ? spec.head : spec.tail, head_leads ? spec.lambda_head : spec.lambda_tail);
  }
  add_within(kHead, spec.head, spec.lambda_head);
  if (spec.norm == Norm::conditional) add_within(kTail, spec.tail, spec.lambda_tail);
}

// forward: sum p log(p/q), h_i = -p_i/q_i; reverse: sum q log(q/p), h_i = d_i + 1
void RowLaw::add_partial(int set, Direction direction, double lambda) {
  const SetStatistics& s = sets_[set];
  if (s.empty || direction == Direction::none) return;
  Coefficients& c = coefficients_[set];
  if (direction == Direction::forward) {
    loss_ -= lambda * s.p * s.mean_p;
    c.p -= lambda * s.p;
  } else {
    loss_ += lambda * s.q * s.mean_q;
    c.q += lambda * s.q;
    c.qd += lambda * s.q;
  }
}

// forward: + Q - P; reverse: + P - Q
void RowLaw::add_mass_difference(int set, Direction direction, double lambda) {
  const SetStatistics& s = sets_[set];
  if (s.empty || direction == Direction::none) return;
  const double sign = direction == Direction::forward ? 1 : -1;
  loss_ += sign * lambda * (s.q - s.p);
  coefficients_[set].q += sign * lambda * s.q;
}

// lambda P KL(p~||q~), or lambda Q KL(q~||p~) whose weight Q depends on the student
void RowLaw::add_within(int set, Direction direction, double lambda) {
  const SetStatistics& s = sets_[set];
  if (s.empty || direction == Direction::none) return;
  Coefficients& c = coefficients_[set];
  if (direction == Direction::forward) {
    const double weight = lambda * s.p;
    loss_ += weight * (s.log_q - s.log_p - s.mean_p);
    c.p -= weight;
    c.q += weight;
  } else {
    const double weight = lambda * s.q;
    const double divergence = s.mean_q + s.log_p - s.log_q;
    loss_ += weight * divergence;
    c.qd += weight;
    c.q += weight * (divergence - s.mean_q);
  }
}

// One set's part of the divergence between the masses: P log(P/Q) with h_i = -P/Q, or Q log(Q/P) with
// h_i = log(Q/P) + 1. Over all sets the masses are 1, so a single set adds nothing.
void RowLaw::add_mass(int set, Direction direction, double lambda) {
  const SetStatistics& s = sets_[set];
  if (s.empty) return;
  if (direction == Direction::forward) {
    loss_ += lambda * s.p * (s.log_p - s.log_q);
    coefficients_[set].q -= lambda * s.p;
  } else {
    loss_ += lambda * s.q * (s.log_q - s.log_p);
    coefficients_[set].q += lambda * s.q * (s.log_q - s.log_p + 1);
  }
}

Coefficients RowLaw::gradient(int set) const {
  double sum = 0;
  for (const int each : {kHead, kTail}) {
    const Coefficients& c = coefficients_[each];
    if (!sets_[each].empty) sum += c.p + c.q + c.qd * sets_[each].mean_q;
  }
  Coefficients result = coefficients_[set];
  result.q -= sets_[set].q * sum;
  return result;
}

}  // namespace bitlaw::distill::kernels
