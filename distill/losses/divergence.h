// A loss between two token distributions: logits in, per-token loss and gradient out.
//
// Two implementations of one interface, tested against each other: `divergence_reference` (a plain
// composition of tensor operations, any dtype, differentiable) and `divergence_fused` (row by row, loss and
// gradient at once, SIMD by run-time dispatch; CPU). Formulas: docs/distillation.md. TopKLD is a
// reconstruction, see there.
//
// Per token, both return loss * temperature^2. A head set that depends on the student, and the two weights of
// akl, are constants for the gradient. A logit that is infinite or not a number makes its token's loss not
// finite; no other token is touched.
#pragma once

#include <ATen/core/Tensor.h>

#include "distill/losses/divergence_spec.h"

namespace bitlaw::distill {

// student, teacher: [T, V]; teacher may be undefined for cross_entropy. targets: int64 [T], needed by
// cross_entropy alone. Returns the loss of each token [T], differentiable with respect to student, in float64
// when the logits are, else in float32. c10::Error on shapes or dtypes that do not fit.
at::Tensor divergence_reference(const DivergenceSpec& spec, const at::Tensor& student_TV,
                                const at::Tensor& teacher_TV, const at::Tensor& targets_T);

struct DivergenceOutput {
  at::Tensor weighted_sum;  // float32 scalar, sum_t weights[t] * per_token[t], differentiable
  at::Tensor per_token;     // float32 [T], detached
};

// The same through the fused kernel, as an autograd function. The gradient of weighted_sum is made in the
// forward pass into one buffer of the student's shape and dtype; backward hands that buffer on (scaled in
// place when the incoming gradient is not 1), so it can run once. Without a student that requires grad (or
// with grad mode off) no gradient is made. student and teacher: contiguous, on the CPU, float32 or bfloat16
// each, teacher and targets as above; weights: float32 [T], constants. Divide by the number of tokens through
// the weights, so that the incoming gradient is 1. Rows are spread over at::parallel_for; every number is
// independent of the number of threads and of the instruction set.
DivergenceOutput divergence_fused(const DivergenceSpec& spec, const at::Tensor& student_TV,
                                  const at::Tensor& teacher_TV, const at::Tensor& targets_T,
                                  const at::Tensor& weights_T);

}  // namespace bitlaw::distill
