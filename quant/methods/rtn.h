// Round to nearest: every weight by itself, under scales from the weights alone.
#pragma once

#include "quant/methods/layer_codes.h"

namespace bitlaw::quant {

// weight: float32 [out, in]. InputError when it is not finite or the group size does not divide.
// A grid that is given keeps its global scale, whatever the weight.
LayerCodes round_to_nearest(const at::Tensor& weight, const WeightGrid& grid, const ScaleRule& rule);
LayerCodes round_to_nearest(const at::Tensor& weight, const QuantSpec& spec, const ScaleRule& rule);

}  // namespace bitlaw::quant
