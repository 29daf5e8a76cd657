#include "quant/methods/post_training.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <string>

#include "quant/methods/awq.h"
#include "quant/methods/gptq.h"
#include "quant/methods/hadamard.h"
#include "quant/methods/hqq.h"
#include "quant/methods/omniquant.h"
#include "quant/methods/rtn.h"
#include "quant/methods/smoothquant.h"

namespace bitlaw::quant {

namespace {

// The layer as the method sees it, after the transforms.
struct Transformed {
  at::Tensor weight;
  std::optional<InputStatistics> inputs;
  at::Tensor multiplier;
};

Transformed transform(const at::Tensor& weight, const std::optional<InputStatistics>& inputs,
                      const QuantConfig& config, std::int64_t hadamard_block,
                      const LayerSurroundings& surroundings) {
  Transformed layer{weight, inputs, {}};
  if (has_transform(config, TransformKind::smooth)) {
    layer.multiplier = smoothing_multiplier(weight, *inputs, config.calibration.smooth_alpha);
    if (surroundings.applicable_multiplier) {
      layer.multiplier = surroundings.applicable_multiplier(layer.multiplier);
    }
    layer.weight = compensated(weight, layer.multiplier);
    layer.inputs = multiplied(*inputs, layer.multiplier);
  }
  if (hadamard_block > 0) {
    layer.weight = rotate(layer.weight, hadamard_block);
    if (layer.inputs) {
      layer.inputs = rotated(*layer.inputs, hadamard_block);
    }
  }
  return layer;
}

LayerCodes run_method(const Transformed& layer, const QuantSpec& spec, const QuantConfig& config,
                      const LayerSurroundings& surroundings) {
  const CalibrationConfig& options = config.calibration;
  switch (config.method) {
    case Method::gptq:
      return gptq(layer.weight, *layer.inputs, spec,
                  {.act_order = options.act_order,
                   .static_groups = options.static_groups,
                   .damping = options.damping,
                   .scales = {config.scale_search, 2.4}});
    case Method::awq:
      return awq(layer.weight, *layer.inputs, spec,
                 {.first_clipped_row = surroundings.first_clipped_row,
                  .applicable_multiplier = surroundings.applicable_multiplier});
    case Method::omniquant:
      return omniquant(layer.weight, *layer.inputs, spec,
                       {.steps = options.clip_steps, .learning_rate = options.clip_lr});
    case Method::hqq:
      return hqq(layer.weight, spec);
    case Method::rtn:
      return round_to_nearest(layer.weight, spec, {config.scale_search, 2.0});
    default:
      break;
  }
  throw std::logic_error("quant.method: " + std::string(data::enum_name(config.method)) +
                         " makes no codes of a layer by itself");
}

}  // namespace

LayerCodes quantise_layer(const at::Tensor& weight, const std::optional<InputStatistics>& inputs,
                          const QuantSpec& spec, const QuantConfig& config,
                          const LayerSurroundings& surroundings) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(inputs || !needs_calibration(config), "this method needs the statistics of the layer's input");
  const LayerPlan plan = layer_plan(config, spec, weight.size(1));
  const Transformed layer =
      transform(checked_weight(weight), inputs, config, plan.hadamard_block, surroundings);
  LayerCodes codes = run_method(layer, spec, config, surroundings);
  if (layer.multiplier.defined()) {
    codes.input_multiplier = layer.multiplier;
  }
  codes.hadamard_block = plan.hadamard_block;
  return codes;
}

}  // namespace bitlaw::quant
