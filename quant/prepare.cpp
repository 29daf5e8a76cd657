#include "quant/prepare.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "data/formats/input_error.h"
#include "quant/input_plan.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

namespace {

// What the rules say about one layer.
struct Decision {
  std::string reason;
  std::optional<QuantSpec> spec;
};

// Collects problems, so that a person sees all of them at once.
class Problems {
 public:
  void add(const std::string& text) { texts_.push_back(text); }
  void throw_if_any() const {
    if (texts_.empty()) {
      return;
    }
    std::string all;
    for (const std::string& text : texts_) {
      all += (all.empty() ? "" : "\n  ") + text;
    }
    throw data::InputError(all, "each layer needs exactly one valid spec", "correct the quant section");
  }

 private:
  std::vector<std::string> texts_;
};

std::string quoted(const std::string& text) {
  return "'" + text + "'";
}

void check_pattern(const std::string& key, const std::string& pattern,
                   const std::vector<std::pair<std::string, Linear*>>& layers, Problems& problems) {
  const bool found = std::any_of(layers.begin(), layers.end(),
                                 [&](const auto& layer) { return matches(pattern, layer.first); });
  if (!found) {
    problems.add(key + ": pattern " + quoted(pattern) + " matches no linear layer; names look like " +
                 (layers.empty() ? std::string("(none)") : quoted(layers.front().first)));
  }
}

void check_rules(const QuantConfig& config, const std::vector<std::pair<std::string, Linear*>>& layers,
                 Problems& problems) {
  if (config.targets.empty()) {
    problems.add("quant.targets is empty: nothing would be quantised; write [linear], or method: none");
  }
  for (const std::string& target : config.targets) {
    if (target != "linear") {
      problems.add("quant.targets: " + quoted(target) + " is no kind of layer; the only one is 'linear'");
    }
  }
  for (const std::string& pattern : config.ignore) {
    check_pattern("quant.ignore", pattern, layers, problems);
  }
  for (const OverrideConfig& rule : config.overrides) {
    check_pattern("quant.overrides", rule.match, layers, problems);
  }
}

// First ignore, then overrides: the last rule that matches decides.
Decision decide(const QuantConfig& config, const std::string& name) {
  if (const OverrideConfig* rule = override_of_layer(config, name)) {
    return {"overrides: " + rule->match, weight_spec(rule->weights, config.weights)};
  }
  for (auto pattern = config.ignore.rbegin(); pattern != config.ignore.rend(); ++pattern) {
    if (matches(*pattern, name)) {
      return {"ignore: " + *pattern, std::nullopt};
    }
  }
  return {"quant.weights", weight_spec(config.weights)};
}

std::shared_ptr<Quantizer> make_quantizer(const QuantConfig& config, const PreparedLayer& layer,
                                          const Linear& linear, ScaleInit init) {
  auto quantizer =
      std::make_shared<Quantizer>(*layer.spec, config.method, layer.out_features, layer.in_features,
                                  layer_plan(config, *layer.spec, layer.in_features));
  if (init == ScaleInit::from_weights && !is_calibrated(config) && !quantizer->has_frozen_codes()) {
    quantizer->initialise(linear.weight, config.scale_search);
  }
  return quantizer;
}

std::shared_ptr<InputQuantizer> make_input_quantizer(const QuantConfig& config, std::int64_t in_features) {
  if (!config.activations) {
    return nullptr;
  }
  const InputPlan plan = input_plan(*config.activations);
  const QuantSpecFields& fields = plan.spec.fields();
  if (fields.strategy == Strategy::group && in_features % fields.group_size != 0) {
    throw data::InputError("quant.activations.group_size " + std::to_string(fields.group_size) +
                               " does not divide " + std::to_string(in_features) + " inputs",
                           "every group of a token has one scale",
                           "choose a divisor of every quantised layer's inputs, or strategy: token");
  }
  return std::make_shared<InputQuantizer>(plan);
}

// What a layer gets: nothing where it stays as it is.
struct LayerQuantizers {
  std::shared_ptr<Quantizer> weights;
  std::shared_ptr<InputQuantizer> inputs;
};

LayerQuantizers make_quantizers(const QuantConfig& config, PreparedLayer& layer, const Linear& linear,
                                ScaleInit init) {
  const Decision decision = decide(config, layer.name);
  layer.reason = decision.reason;
  layer.spec = decision.spec;
  if (!layer.spec) {
    return {};
  }
  return {make_quantizer(config, layer, linear, init), make_input_quantizer(config, layer.in_features)};
}

void set_rest_dtypes(torch::nn::Module& model, RestType type) {
  for (const auto& module : model.modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<Layer*>(module.get())) {
      layer->set_rest_dtype(type);
    }
  }
  if (auto* layer = dynamic_cast<Layer*>(&model)) {
    layer->set_rest_dtype(type);
  }
}

void train_scales_alone(torch::nn::Module& model) {
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    item.value().set_requires_grad(name.find("weight_quantizer.") != std::string::npos ||
                                   name.find("input_quantizer.") != std::string::npos);
  }
}

// Layers by the reason why they cannot have their spec: networks repeat their blocks, and so their problems.
using Refused = std::map<std::string, std::vector<std::string>>;

void add_refused(const Refused& refused, Problems& problems) {
  constexpr std::size_t kNamed = 8;
  for (const auto& [reason, layers] : refused) {
    std::string names;
    for (std::size_t i = 0; i < std::min(layers.size(), kNamed); ++i) {
      names.append(i == 0 ? "" : ", ").append(layers[i]);
    }
    if (layers.size() > kNamed) {
      names.append(" and ").append(std::to_string(layers.size() - kNamed)).append(" more");
    }
    problems.add(names.append(": ").append(reason));
  }
}

std::string pad(const std::string& text, std::size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 0, ' ');
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  // Greedy with one point of return: a later star makes earlier choices irrelevant.
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

const OverrideConfig* override_of_layer(const QuantConfig& config, const std::string& name) {
  const auto found = std::find_if(config.overrides.rbegin(), config.overrides.rend(),
                                  [&](const OverrideConfig& rule) { return matches(rule.match, name); });
  return found == config.overrides.rend() ? nullptr : &*found;
}

std::optional<QuantSpec> spec_of_layer(const QuantConfig& config, const std::string& name) {
  return decide(config, name).spec;
}

std::vector<std::pair<std::string, Linear*>> linear_layers(torch::nn::Module& model) {
  std::vector<std::pair<std::string, Linear*>> layers;
  if (auto* linear = dynamic_cast<Linear*>(&model)) {
    layers.emplace_back("", linear);
  }
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    if (auto* linear = dynamic_cast<Linear*>(item.value().get())) {
      layers.emplace_back(item.key(), linear);
    }
  }
  return layers;
}

PrepareReport prepare(torch::nn::Module& model, const QuantConfig& config, ScaleInit init) {
  PrepareReport report;
  const auto layers = linear_layers(model);
  const bool none = config.method == Method::none;
  Problems problems;
  if (!none) {
    check_rules(config, layers, problems);
  }
  Refused refused;
  std::vector<LayerQuantizers> quantizers;
  for (const auto& [name, linear] : layers) {
    PreparedLayer layer{name, linear->weight.size(0), linear->weight.size(1), {}, "quant.method: none"};
    LayerQuantizers made;
    try {
      made = none ? LayerQuantizers() : make_quantizers(config, layer, *linear, init);
    } catch (const data::InputError& error) {
      refused[error.what()].push_back(name + " [" + std::to_string(layer.out_features) + ", " +
                                      std::to_string(layer.in_features) + "]");
    }
    report.layers.push_back(layer);
    quantizers.push_back(std::move(made));
  }
  add_refused(refused, problems);
  problems.throw_if_any();
  set_rest_dtypes(model, none ? RestType::float32 : config.rest_dtype);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].second->attach(quantizers[i].weights, std::nullopt);
    layers[i].second->attach_inputs(quantizers[i].inputs);
  }
  if (config.method == Method::e2e_qp) {
    train_scales_alone(model);
  }
  return report;
}

std::string PrepareReport::to_string() const {
  std::size_t name_width = 5;
  std::size_t spec_width = 4;
  for (const PreparedLayer& layer : layers) {
    name_width = std::max(name_width, layer.name.size());
    spec_width = std::max(spec_width, layer.spec ? layer.spec->to_string().size() : 0);
  }
  std::string text =
      pad("layer", name_width) + "  " + pad("shape", 12) + "  " + pad("spec", spec_width) + "  why\n";
  for (const PreparedLayer& layer : layers) {
    text += pad(layer.name, name_width) + "  " +
            pad(std::to_string(layer.out_features) + "x" + std::to_string(layer.in_features), 12) + "  " +
            pad(layer.spec ? layer.spec->to_string() : "-", spec_width) + "  " + layer.reason + "\n";
  }
  return text;
}

}  // namespace bitlaw::quant
