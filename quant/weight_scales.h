// The first scales of a whole weight.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// What find_parameters (affine.h) finds, as float32 tensors [scale rows, groups]; undefined where the spec
// has none.
struct WeightScales {
  at::Tensor scale;
  at::Tensor zero_point;  // float32
  at::Tensor scale_negative;
  std::optional<float> global_scale;
};

// weight: float32 [out, in], contiguous. In parallel; the same for any number of threads. InputError: NaN or
// infinity.
WeightScales find_weight_scales(const QuantSpec& spec, const at::Tensor& weight, ScaleSearch search);

}  // namespace bitlaw::quant
