// How latents change their side between scales.
#pragma once

#include <ATen/core/Tensor.h>

namespace bitlaw::distill {

// x float32 [B, C, P, P] -> [B, C, side, side]. Adaptive average: output cell i is the mean of input rows
// floor(i P / side) .. ceil((i + 1) P / side) - 1; windows overlap where side does not divide P.
at::Tensor area_downsample(const at::Tensor& x_BCPP, std::int64_t side);

// x float32 [B, C, p, p] -> [B, C, side, side]. Bicubic convolution with a = -0.75, source coordinate
// (i + 1/2) p / side - 1/2, border samples repeated, weights not renormalised.
at::Tensor bicubic_upsample(const at::Tensor& x_BCpp, std::int64_t side);

}  // namespace bitlaw::distill
