#include "distill/quantise_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "quant/input_observation.h"
#include "quant/layer_errors.h"
#include "quant/methods/post_training.h"
#include "quant/prepare.h"

namespace bitlaw::distill {

namespace {

quant::LayerCodes codes_of(const quant::NamedLinear& layer, const quant::QuantConfig& config) {
  return quant::naming(layer.first, [&] {
    return quant::quantise_layer(layer.second->weight.detach(), std::nullopt,
                                 layer.second->weight_quantizer()->spec(), config);
  });
}

CalibratedLayer take(const quant::NamedLinear& layer, const quant::LayerCodes& codes) {
  quant::Linear& linear = *layer.second;
  const std::shared_ptr<quant::Quantizer>& quantizer = linear.weight_quantizer();
  const at::Tensor before = linear.weight.detach().clone();
  linear.weight.copy_(quant::naming(layer.first, [&] { return quantizer->adopt(codes); }));
  const at::Tensor change = quantizer->input_transform().undone(linear.weight) - before;
  CalibratedLayer done;
  done.name = layer.first;
  done.relative_error = (change.square().sum() / before.square().sum()).item<double>();
  return done;
}

}  // namespace

std::vector<CalibratedLayer> quantise_weights(torch::nn::Module& model, const quant::QuantConfig& config,
                                              const RankGroup& ranks) {
  const at::NoGradGuard no_grad;
  std::vector<quant::NamedLinear> waiting;
  for (const quant::NamedLinear& layer : quant::linear_layers(model)) {
    if (layer.second->weight_quantizer()) {
      waiting.push_back(layer);
    }
  }
  std::vector<CalibratedLayer> layers;
  const auto count = static_cast<std::int64_t>(waiting.size());
  for (std::int64_t first = 0; first < count; first += ranks.size) {  // a layer of each rank at a time
    const auto at = [&](std::int64_t i) { return waiting[static_cast<std::size_t>(first + i)]; };
    const auto codes = shared_codes(
        std::min<std::int64_t>(ranks.size, count - first),
        [&](std::int64_t i) { return codes_of(at(i), config); }, ranks);
    for (std::size_t i = 0; i < codes.size(); ++i) {
      layers.push_back(take(at(static_cast<std::int64_t>(i)), codes[i]));
    }
  }
  return layers;
}

}  // namespace bitlaw::distill
