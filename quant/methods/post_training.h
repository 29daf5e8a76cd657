// The post-training method and transforms that a configuration asks for, of one layer.
#pragma once

#include <optional>

#include "quant/config.h"
#include "quant/input_statistics.h"
#include "quant/methods/layer_codes.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

// `inputs` may be missing where needs_calibration (method_plan.h) says no. `first_clipped_row`: AwqOptions.
// InputError as the methods say.
LayerCodes quantise_layer(const at::Tensor& weight, const std::optional<InputStatistics>& inputs,
                          const QuantSpec& spec, const QuantConfig& config, std::int64_t first_clipped_row);

}  // namespace bitlaw::quant
