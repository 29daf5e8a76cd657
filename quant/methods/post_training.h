// The post-training method and transforms that a configuration asks for, of one layer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "quant/config.h"
#include "quant/input_statistics.h"
#include "quant/methods/layer_codes.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

// What a method has to know of the network around a layer.
struct LayerSurroundings {
  std::int64_t first_clipped_row = 0;  // AwqOptions
  // From the input multiplier that a method found to the one that the network can apply; none: the same.
  std::function<at::Tensor(const at::Tensor&)> applicable_multiplier;
};

// For rtn, hqq, gptq, awq and omniquant. `inputs` may be missing where needs_calibration (method_plan.h) says
// no. InputError as the methods say.
LayerCodes quantise_layer(const at::Tensor& weight, const std::optional<InputStatistics>& inputs,
                          const QuantSpec& spec, const QuantConfig& config,
                          const LayerSurroundings& surroundings = {});

}  // namespace bitlaw::quant
