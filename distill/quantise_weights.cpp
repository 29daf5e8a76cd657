#include "distill/quantise_weights.h"

#include <ATen/ATen.h>

#include <optional>

#include "data/formats/input_error.h"
#include "quant/methods/post_training.h"
#include "quant/prepare.h"

namespace bitlaw::distill {

namespace {

CalibratedLayer quantise(const std::string& name, quant::Linear& linear, const quant::QuantConfig& config) {
  const std::shared_ptr<quant::Quantizer>& quantizer = linear.weight_quantizer();
  const at::Tensor before = linear.weight.detach().clone();
  const at::Tensor master =
      quantizer->adopt(quant::quantise_layer(before, std::nullopt, quantizer->spec(), config, 0));
  linear.weight.copy_(master);
  const at::Tensor change = quantizer->input_transform().undone(master) - before;
  CalibratedLayer done;
  done.name = name;
  done.relative_error = (change.square().sum() / before.square().sum()).item<double>();
  return done;
}

}  // namespace

std::vector<CalibratedLayer> quantise_weights(torch::nn::Module& model, const quant::QuantConfig& config) {
  const at::NoGradGuard no_grad;
  std::vector<CalibratedLayer> layers;
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    if (!linear->weight_quantizer()) {
      continue;
    }
    try {
      layers.push_back(quantise(name, *linear, config));
    } catch (const data::InputError& error) {
      throw data::InputError(name + ": " + error.what());
    }
  }
  return layers;
}

}  // namespace bitlaw::distill
