// Models of small layers whose inputs are quantised.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "quant/containers/compressed_tensors.h"
#include "tests/quant/containers/sample_weights.h"

namespace bitlaw::quant::tests {

inline PackedInput input_of(const std::string& spec, float scale = 0.0F,
                            std::optional<float> zero_point = {}) {
  return {QuantSpec::parse(spec), scale > 0.0F ? std::optional(scale) : std::nullopt, zero_point};
}

inline PackedModel model_of(const std::vector<PackedInput>& inputs) {
  PackedModel model;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string module = "blocks." + std::to_string(i) + ".fc1";
    model.weights.emplace(module, bitlaw::tests::sample_weight("int4.g64.sym", 64, 256));
    model.activations.emplace(module, inputs[i]);
  }
  return model;
}

inline ModelFolder compressed_folder(const PackedInput& input) {
  Refusals refusals;
  ModelFolder contents = make_compressed_tensors(model_of({input}), WordLayout::dense, false, refusals);
  if (!refusals.empty()) {
    throw std::logic_error(refusals.front().reason);
  }
  return contents;
}

}  // namespace bitlaw::quant::tests
