#include "quant/requantise.h"

#include "data/formats/input_error.h"
#include "quant/layer_errors.h"
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

// Of all layers at once.
class LayerProblems {
 public:
  void add(const std::string& layer, const std::string& text) {
    text_.append("\n  ").append(layer).append(": ").append(text);
  }
  template <class Work>
  void collect(const std::string& layer, const Work& work) {
    try {
      work();
    } catch (const data::InputError& error) {
      add(layer, error.what());
    }
  }
  void throw_if_any(const std::string& what, const std::string& why) const {
    if (!text_.empty()) {
      throw data::InputError(what + " are not those of quant:" + text_, why,
                             "use the quant section that they were made with, its method replaced");
    }
  }

 private:
  std::string text_;
};

}  // namespace

void freeze_codes(torch::nn::Module& model, const std::map<std::string, PackedTensor>& weights,
                  const std::string& origin) {
  LayerProblems problems;
  for (const auto& [name, linear] : linear_layers(model)) {
    const auto found = weights.find(name);
    const auto& quantizer = linear->weight_quantizer();
    if (!quantizer && found != weights.end()) {
      problems.add(
          name, "codes of " + found->second.spec.to_string() + ", the configuration leaves it unquantised");
    } else if (quantizer && found == weights.end()) {
      problems.add(name, "no codes, the configuration wants " + quantizer->spec().to_string());
    } else if (quantizer) {
      problems.collect(name, [&] { quantizer->freeze(found->second); });
    }
  }
  problems.throw_if_any("the codes of " + origin, "their scales are trained, the codes stay as they are");
}

void adopt_inputs(torch::nn::Module& model, const std::map<std::string, PackedInput>& inputs,
                  const std::string& origin) {
  LayerProblems problems;
  for (const auto& [name, linear] : linear_layers(model)) {
    const auto found = inputs.find(name);
    if (found == inputs.end()) {
      continue;
    }
    const auto& quantizer = linear->input_quantizer();
    if (!quantizer) {
      problems.add(name, "inputs of " + found->second.spec.to_string() +
                             ", the configuration leaves them unquantised");
    } else {
      problems.collect(name, [&] { quantizer->adopt(found->second); });
    }
  }
  problems.throw_if_any("the inputs of " + origin, "its codes were made for inputs of these scales");
}

LayerCodes codes_of(Quantizer& quantizer, const at::Tensor& weight) {
  LayerCodes codes;
  codes.codes = quantizer.codes(weight);
  codes.scale = quantizer.scale();
  codes.scale_negative = quantizer.scale_negative();
  codes.global_scale = quantizer.global_scale();
  if (quantizer.zero_point().defined()) {
    codes.zero_point = quantizer.zero_point().to(at::kFloat);
  }
  return codes;
}

void round_masters(torch::nn::Module& model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, linear] : linear_layers(model)) {
    if (const auto& quantizer = linear->weight_quantizer()) {
      at::Tensor& weight = linear->weight;
      weight.copy_(naming(name, [&] { return quantizer->adopt(codes_of(*quantizer, weight.detach())); }));
    }
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
