// SmoothQuant (Xiao et al., arXiv 2211.10438): moves the spread of loud input channels into the weight.
//
//   s_j = max|x_j|^alpha / max|W_:j|^(1 - alpha)        x_j is divided by s_j, column j of W multiplied
// Both maxima and s are at least 1e-5, as in the authors' code. s is then divided by its geometric mean: a
// factor of all channels moves no spread, but far from 1 it would cost what absorbs the multiplier its digits
// (distill/fold.h).
#pragma once

#include "quant/input_statistics.h"

namespace bitlaw::quant {

// The input multiplier 1 / s: float32 [in]. weight: float32 [out, in].
at::Tensor smoothing_multiplier(const at::Tensor& weight, const InputStatistics& inputs, double alpha);

// The weight that belongs to inputs multiplied by `multiplier`: column j divided by multiplier_j.
at::Tensor compensated(const at::Tensor& weight, const at::Tensor& multiplier);

}  // namespace bitlaw::quant
