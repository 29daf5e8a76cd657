#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "distill/losses/divergence.h"
#include "distill/losses/kernels/divergence_rows.h"

namespace bitlaw::distill {
namespace {

using at::Tensor;
using kernels::LogitType;
using kernels::RowBatch;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

LogitType logit_type(const Tensor& logits) {
  return logits.scalar_type() == at::kBFloat16 ? LogitType::bfloat16 : LogitType::float32;
}

void check_logits(const Tensor& logits_TV, const char* whose) {
  TORCH_CHECK(logits_TV.is_cpu() && logits_TV.is_contiguous() && logits_TV.dim() == 2, whose,
              " logits must be contiguous [T, V] on the CPU");
  TORCH_CHECK(logits_TV.scalar_type() == at::kFloat || logits_TV.scalar_type() == at::kBFloat16, whose,
              " logits must be float32 or bfloat16, not ", logits_TV.scalar_type());
}

void check_targets(const Tensor& targets_T, const Tensor& student_TV) {
  TORCH_CHECK(targets_T.defined() && targets_T.scalar_type() == at::kLong && targets_T.is_contiguous() &&
                  targets_T.dim() == 1 && targets_T.size(0) == student_TV.size(0),
              "targets must be contiguous int64 [T]");
  const std::int64_t* targets = targets_T.const_data_ptr<std::int64_t>();
  for (std::int64_t t = 0; t < targets_T.size(0); ++t) {
    TORCH_CHECK(targets[t] >= 0 && targets[t] < student_TV.size(1), "target ", targets[t], " of token ", t,
                " is outside the vocabulary of ", student_TV.size(1));
  }
}

void check_inputs(const DivergenceSpec& spec, const Tensor& student_TV, const Tensor& teacher_TV,
                  const Tensor& targets_T, const Tensor& weights_T) {
  check_logits(student_TV, "student");
  if (needs_teacher(spec)) {
    TORCH_CHECK(teacher_TV.defined(), "the loss needs teacher logits");
    check_logits(teacher_TV, "teacher");
    TORCH_CHECK(teacher_TV.sizes() == student_TV.sizes(), "teacher logits ", teacher_TV.sizes(),
                " and student logits ", student_TV.sizes(), " differ in shape");
  }
  if (needs_targets(spec)) check_targets(targets_T, student_TV);
  TORCH_CHECK(weights_T.scalar_type() == at::kFloat && weights_T.is_contiguous() && weights_T.dim() == 1 &&
                  weights_T.size(0) == student_TV.size(0),
              "weights must be contiguous float32 [T]");
  TORCH_CHECK(spec.top_k >= 0 && (spec.loss != Loss::topkld || spec.top_k <= student_TV.size(1)), "top_k ",
              spec.top_k, " of ", student_TV.size(1), " classes");
}

// Fills per_token and, where it is defined, gradient.
void run_rows(const DivergenceSpec& spec, const Tensor& student_TV, const Tensor& teacher_TV,
              const Tensor& targets_T, const Tensor& weights_T, const Tensor& per_token_T,
              const Tensor& gradient_TV) {
  RowBatch batch;
  batch.student = student_TV.const_data_ptr();
  batch.student_type = logit_type(student_TV);
  batch.vocab = student_TV.size(1);
  if (needs_teacher(spec)) {
    batch.teacher = teacher_TV.const_data_ptr();
    batch.teacher_type = logit_type(teacher_TV);
  }
  if (needs_targets(spec)) batch.targets = targets_T.const_data_ptr<std::int64_t>();
  if (gradient_TV.defined()) batch.gradient = gradient_TV.mutable_data_ptr();
  batch.weights = weights_T.const_data_ptr<float>();
  batch.per_token = per_token_T.mutable_data_ptr<float>();
  at::parallel_for(0, student_TV.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    kernels::divergence_rows(spec, batch, begin, end);
  });
}

Tensor weighted_sum(const Tensor& per_token_T, const Tensor& weights_T) {
  const float* loss = per_token_T.const_data_ptr<float>();
  const float* weight = weights_T.const_data_ptr<float>();
  double sum = 0;
  for (std::int64_t t = 0; t < per_token_T.size(0); ++t) {
    sum += static_cast<double>(weight[t]) * static_cast<double>(loss[t]);
  }
  return at::scalar_tensor(sum, per_token_T.options());
}

constexpr const char* kGradient = "gradient";

class FusedDivergence : public torch::autograd::Function<FusedDivergence> {
 public:
  // The numbers are there already; this node only ties them to the student.
  static Tensor forward(AutogradContext* context, const Tensor& /*student_TV*/, const Tensor& sum,
                        const Tensor& gradient_TV) {
    context->saved_data[kGradient] = gradient_TV;
    return sum.clone();
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const auto saved = context->saved_data.find(kGradient);
    TORCH_CHECK(
        saved != context->saved_data.end(),
        "backward ran twice through one fused divergence [its gradient buffer was handed on the first "
        "time]; compute the loss again");
    Tensor gradient_TV = saved->second.toTensor();
    context->saved_data.erase(saved);
    const double factor = incoming[0].item<double>();
    if (factor != 1.0) gradient_TV.mul_(factor);
    return {gradient_TV, Tensor(), Tensor()};
  }
};

}  // namespace

DivergenceOutput divergence_fused(const DivergenceSpec& spec, const Tensor& student_TV,
                                  const Tensor& teacher_TV, const Tensor& targets_T,
                                  const Tensor& weights_T) {
  check_inputs(spec, student_TV, teacher_TV, targets_T, weights_T);
  const bool wants_gradient = student_TV.requires_grad() && at::GradMode::is_enabled();
  DivergenceOutput output;
  Tensor gradient_TV;
  {
    const at::NoGradGuard no_grad;
    output.per_token = at::empty({student_TV.size(0)}, student_TV.options().dtype(at::kFloat));
    if (wants_gradient) gradient_TV = at::empty(student_TV.sizes(), student_TV.options());
    run_rows(spec, student_TV, teacher_TV, targets_T, weights_T, output.per_token, gradient_TV);
    output.weighted_sum = weighted_sum(output.per_token, weights_T);
  }
  if (wants_gradient) {
    output.weighted_sum = FusedDivergence::apply(student_TV, output.weighted_sum, gradient_TV);
  }
  return output;
}

}  // namespace bitlaw::distill
