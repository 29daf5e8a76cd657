// A loss between two token distributions: logits in, per-token loss and gradient out.
//
// Two implementations of one interface, tested against each other: `reference` (a plain composition of tensor
// operations, any dtype, differentiable) and `fused` (one pass, in place, AVX by run-time dispatch; float32
// on the CPU). Formulas: docs/distillation.md. TopKLD is a reconstruction, see there.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "distill/config.h"

namespace bitlaw::distill {

struct DivergenceSpec {
  Loss loss = Loss::topkld;
  std::int64_t top_k = 900;
  Direction head = Direction::forward;
  Direction tail = Direction::reverse;
  Norm norm = Norm::generalised;
  double lambda_head = 1.0;
  double lambda_tail = 1.0;
  SetSource set_source = SetSource::teacher;
  double temperature = 1.0;
  double beta = 0.5;  // jsd mixture; cakld: mean maximum teacher probability, measured by the caller
  double alpha = 0.1;
  double head_mass = 0.5;
};
// Checks top_k <= V and refuses head reverse + tail forward + naive; InputError with the reason.
DivergenceSpec divergence_spec(const DistillConfig& config, std::int64_t vocab_size);

// student, teacher: [T, V]; targets int64 [T] (cross entropy, and ce mixing). Returns per-token loss [T],
// differentiable with respect to student. The plain composition.
at::Tensor divergence_reference(const DivergenceSpec& spec, const at::Tensor& student_TV,
                                const at::Tensor& teacher_TV, const at::Tensor& targets_T);

// The same through the fused kernel, as an autograd function. loss = sum_t weights[t] * loss_t is what it
// differentiates; the gradient is made in the forward pass (one pass over the logits) into one buffer of the
// student's shape, and backward only hands it on (scaled when the incoming gradient is not 1). student and
// teacher float32 or bfloat16, contiguous.
struct DivergenceOutput {
  at::Tensor weighted_sum;  // scalar, differentiable
  at::Tensor per_token;     // [T], detached
};
DivergenceOutput divergence_fused(const DivergenceSpec& spec, const at::Tensor& student_TV,
                                  const at::Tensor& teacher_TV, const at::Tensor& targets_T,
                                  const at::Tensor& weights_T);

}  // namespace bitlaw::distill
