// Fake quantisation of a layer's input by one static scale, as a differentiable function.
//
// Values are those of quant/affine.h with the grid below. Gradients, with v = x / scale + zero point - offset
// of the grid, "inside" where rint(v) is a code (the outermost codes included) and q the clipped code:
//   fixed     d x' / d x = 1 inside, 0 outside
//   lsq       the same, and d x' / d scale = rint(v) - v inside, q + offset - zero point outside (floats: as
//             level_quant_math.h); Esser et al. 2020, arXiv 1902.08153
//   lsq_plus  d x' / d scale = rint(v) - v inside, q outside, d x' / d beta = 0 inside, 1 outside, for
//             x' = q scale + beta, zero point = -beta / scale; Bhalgat et al. 2020, arXiv 2004.09576. Where
//             -beta / scale lies outside the codes, the zero point stays at their end: d x' / d scale is then
//             that of lsq, and beta has a gradient only where descent brings it back
//   pact      alpha = scale * (largest code - zero point) clips: d x' / d alpha = 1 where x >= alpha, at the
//             lower end -(alpha's share), 0 inside; d x' / d x = 1 strictly between the ends; Choi et al.
//             2018, arXiv 1805.06085. symmetric: the lower end is q_min / q_max alpha (the codes reach one
//             step further down), and so is its gradient; asymmetric: zero, and it has none
// Gradients of log_scale and beta are multiplied by g = 1 / sqrt(features q_max) (floats: the largest
// number), LSQ's factor for activations; the derivative of log_scale by exp(log_scale) as well. alpha's is
// the plain sum.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// What is used, stored and packed: exact in the types of the spec.
struct InputGrid {
  float scale = 1.0F;
  float zero_point = 0.0F;  // 0 where the spec has none
};

// -offset / scale as it is stored: a whole code, or with real zero points a float16.
float zero_point_of(float offset, float scale, const QuantSpec& spec);

struct InputParameters {
  at::Tensor log_scale;  // [1]: lsq, lsq_plus
  at::Tensor offset;     // [1]: lsq_plus, beta
  at::Tensor alpha;      // [1]: pact
};

// x [..., features], float32 or bfloat16; the result has x's type. Sums of gradients are the same on any
// number of threads.
at::Tensor fake_quantise_input(const at::Tensor& x, const QuantSpec& spec, const InputGrid& grid,
                               InputMethod method, const InputParameters& parameters);

}  // namespace bitlaw::quant
