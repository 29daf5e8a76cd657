#include "quant/containers/travelling_texts.h"

#include <array>
#include <string_view>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "quant/containers/restate.h"
#include "quant/input_plan.h"

namespace bitlaw::quant {

namespace {

using data::InputError;
using data::Json;
using data::printable;

constexpr const char* kVersion = "1";
constexpr std::array<std::string_view, 3> kAttributes = {"config", "model_bits", "source"};

std::string key_of(std::string_view name) {
  return std::string(kTextPrefix).append(name);
}

[[noreturn]] void fail(const std::string& origin, const std::string& what, const std::string& why) {
  throw InputError(origin + ": " + what, why, "write the file again with bitlaw");
}

std::map<std::string, QuantSpec> read_specs(const Texts& texts, const std::string& key,
                                            const std::string& origin) {
  std::map<std::string, QuantSpec> specs;
  const auto found = texts.find(key);
  if (found == texts.end()) {
    return specs;
  }
  const Json json = Json::parse(found->second, origin + ": " + key);
  if (json.object() == nullptr) {
    fail(origin, key + " is no object", "it maps modules to specs");
  }
  for (const auto& [module, spec] : *json.object()) {
    if (spec.text() == nullptr) {
      fail(origin, key + ": " + printable(module) + " is no text", "it is a spec");
    }
    try {
      specs.emplace(module, QuantSpec::parse(*spec.text()));
    } catch (const InputError& error) {
      throw InputError(origin + ": " + key + ": " + printable(module) + ": " + error.what());
    }
  }
  return specs;
}

}  // namespace

Json specs_json(const std::map<std::string, QuantSpec>& specs) {
  Json::Object object;
  for (const auto& [module, spec] : specs) {
    object.emplace_back(module, spec.to_string());
  }
  return object;
}

Texts travelling_texts(const PackedModel& model) {
  Texts texts;
  for (const auto& [key, value] : model.attributes) {
    texts[key_of(key)] = value;
  }
  std::map<std::string, QuantSpec> weights;
  for (const auto& [module, packed] : model.weights) {
    weights.emplace(module, packed.spec);
  }
  texts[key_of("version")] = kVersion;
  texts[key_of("weights")] = specs_json(weights).to_text();
  std::map<std::string, QuantSpec> inputs;
  for (const auto& [module, input] : model.activations) {
    inputs.emplace(module, input.spec);
  }
  texts[key_of("activations")] = specs_json(inputs).to_text();
  return texts;
}

const QuantSpec* TravellingSpecs::weight(const std::string& module) const {
  const auto found = weights.find(module);
  return found == weights.end() ? nullptr : &found->second;
}

TravellingSpecs read_travelling_texts(const Texts& texts, const std::string& origin) {
  TravellingSpecs specs;
  const auto version = texts.find(key_of("version"));
  if (version == texts.end()) {
    return specs;
  }
  if (version->second != kVersion) {
    fail(origin, key_of("version") + " is '" + printable(version->second) + "'",
         std::string("this program reads version ") + kVersion);
  }
  specs.present = true;
  specs.weights = read_specs(texts, key_of("weights"), origin);
  specs.activations = read_specs(texts, key_of("activations"), origin);
  for (const std::string_view name : kAttributes) {
    if (const auto found = texts.find(key_of(name)); found != texts.end()) {
      specs.attributes.emplace(name, found->second);
    }
  }
  return specs;
}

std::map<std::string, PackedInput> dynamic_inputs(const TravellingSpecs& specs, const std::string& origin) {
  std::map<std::string, PackedInput> inputs;
  for (const auto& [module, spec] : specs.activations) {
    if (is_static(spec)) {
      fail(origin, "the input of " + printable(module) + " is " + spec.to_string() + ", without a scale",
           "the container holds no scales of inputs");
    }
    try {
      check_packed(inputs.emplace(module, spec).first->second);
    } catch (const InputError& error) {
      throw InputError(origin + ": the input of " + printable(module) + ": " + error.what());
    }
  }
  return inputs;
}

void check_inputs(const PackedModel& model, const std::string& origin) {
  for (const auto& [module, input] : model.activations) {
    const auto weight = model.weights.find(module);
    if (weight == model.weights.end()) {
      fail(origin, "the input of " + printable(module) + " is quantised, but the layer holds no codes",
           "inputs belong to quantised layers");
    }
    const QuantSpecFields& fields = input.spec.fields();
    if (fields.strategy == Strategy::group && weight->second.in_features % fields.group_size != 0) {
      fail(origin,
           "the input of " + printable(module) + " is " + input.spec.to_string() + ", and the layer has " +
               std::to_string(weight->second.in_features) + " inputs",
           "every group of a token has one scale");
    }
  }
}

void refuse_static_input(const PackedModel& model, const std::string& module) {
  const auto found = model.activations.find(module);
  if (found != model.activations.end() && found->second.scale) {
    throw NoExactForm("its input has a static scale (" + found->second.spec.to_string() +
                      "), which has no place there");
  }
}

PackedTensor at_home(PackedTensor natural, const TravellingSpecs& specs, const std::string& module,
                     std::span<const std::int8_t> zero_points) {
  const QuantSpec* spec = specs.weight(module);
  if (spec == nullptr) {
    if (specs.present) {
      throw InputError("layer " + module + " holds codes, but " + key_of("weights") + " does not name it",
                       "the two were written together", "write the file again with bitlaw");
    }
    return natural;
  }
  try {
    return restate(natural, *spec, zero_points);
  } catch (const NoExactForm& error) {
    throw InputError("layer " + module + " was " + spec->to_string() + ", but holds " +
                         natural.spec.to_string() + ": " + error.what(),
                     "the weights are not those that were written", "write the file again with bitlaw");
  }
}

void check_complete(const PackedModel& model, const TravellingSpecs& specs, const std::string& origin) {
  for (const auto& [module, spec] : specs.weights) {
    if (model.weights.count(module) == 0) {
      fail(origin, "layer " + printable(module) + " is missing", key_of("weights") + " names it");
    }
  }
  check_inputs(model, origin);
}

}  // namespace bitlaw::quant
