// Turns a full-precision model into one that trains through its quantisation, by rules on module names.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quant/config.h"
#include "quant/layers.h"

namespace bitlaw::quant {

struct PreparedLayer {
  std::string name;
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  std::optional<QuantSpec> spec;  // none: left in rest_dtype
  std::string reason;             // "quant.weights", "overrides: *.fc2", "ignore: head"
};

struct PrepareReport {
  std::vector<PreparedLayer> layers;  // every Linear of the model, in order
  std::string to_string() const;      // table for the log: what was replaced, what was not and why
};

// Attaches quantizers. Their scales come from the present weights, or are left for the load of saved state,
// or for calibration where the method asks for it (is_calibrated). First ignore, then overrides, the last
// match wins. InputError: a pattern that matches no layer, a group size that does not divide, all problems at
// once. With method e2e_qp the model then trains quantiser scales alone (requires_grad), those of weights and
// what the method of activations learns, and its layers wait for freeze_codes (quant/requantise.h) or a load.
enum class ScaleInit { from_weights, left_for_load };
PrepareReport prepare(torch::nn::Module& model, const QuantConfig& config, ScaleInit init);

// The override that decides about a layer, the last that matches; null: none does. Points into `config`.
const OverrideConfig* override_of_layer(const QuantConfig& config, const std::string& name);
// The spec that the rules give a layer, none where it is ignored. InputError as weight_spec.
std::optional<QuantSpec> spec_of_layer(const QuantConfig& config, const std::string& name);

// The Linears of a model by name, in registration order.
std::vector<std::pair<std::string, Linear*>> linear_layers(torch::nn::Module& model);
bool matches(std::string_view pattern,
             std::string_view name);  // * matches any run of characters, dots included

}  // namespace bitlaw::quant
