// Rounding to a storage type that gradients pass through unchanged (straight-through estimator).
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/config.h"

namespace bitlaw::quant {

at::ScalarType scalar_type_of(RestType type);

// float32 x rounded to `type` (nearest, half to even), as float32; d out / d x = 1. Undefined stays
// undefined.
at::Tensor round_straight_through(const at::Tensor& x, RestType type);

// The same, then rounded to `compute`: the operand of a matrix product. One pass where one is enough.
at::Tensor round_straight_through(const at::Tensor& x, RestType type, at::ScalarType compute);

}  // namespace bitlaw::quant
