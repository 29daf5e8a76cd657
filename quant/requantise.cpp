#include "quant/requantise.h"

#include "data/formats/input_error.h"
#include "quant/prepare.h"

namespace bitlaw::quant {

namespace {

void add_state_names(const std::string& layer, const Quantizer& quantizer, std::vector<std::string>& names) {
  const std::string prefix = (layer.empty() ? "" : layer + ".") + "weight_quantizer.";
  for (const auto& item : quantizer.named_parameters()) {
    names.push_back(prefix + item.key());
  }
  for (const auto& item : quantizer.named_buffers()) {
    names.push_back(prefix + item.key());
  }
}

}  // namespace

void freeze_codes(torch::nn::Module& model, const std::map<std::string, PackedTensor>& weights,
                  const std::string& origin) {
  std::string problems;
  const auto problem = [&](const std::string& layer, const std::string& text) {
    problems.append("\n  ").append(layer).append(": ").append(text);
  };
  for (const auto& [name, linear] : linear_layers(model)) {
    const auto found = weights.find(name);
    const auto& quantizer = linear->weight_quantizer();
    if (!quantizer && found != weights.end()) {
      problem(name,
              "codes of " + found->second.spec.to_string() + ", the configuration leaves it unquantised");
    } else if (quantizer && found == weights.end()) {
      problem(name, "no codes, the configuration wants " + quantizer->spec().to_string());
    } else if (quantizer) {
      try {
        quantizer->freeze(found->second);
      } catch (const data::InputError& error) {
        problem(name, error.what());
      }
    }
  }
  if (!problems.empty()) {
    throw data::InputError("the codes of " + origin + " are not those of quant:" + problems,
                           "their scales are trained, the codes stay as they are",
                           "use the quant section that they were made with, its method replaced");
  }
}

std::vector<std::string> change_specs(torch::nn::Module& model, const QuantConfig& config) {
  std::vector<std::string> names;
  for (const auto& [name, linear] : linear_layers(model)) {
    const auto& quantizer = linear->weight_quantizer();
    const std::optional<QuantSpec> spec = quantizer ? spec_of_layer(config, name) : std::nullopt;
    if (spec && !(*spec == quantizer->spec())) {
      quantizer->restart(*spec, linear->weight, config.scale_search);
      add_state_names(name, *quantizer, names);
    }
  }
  return names;
}

}  // namespace bitlaw::quant
