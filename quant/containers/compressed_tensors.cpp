#include "quant/containers/compressed_tensors.h"

#include <map>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/compressed_tensors_config.h"
#include "quant/containers/compressed_tensors_inputs.h"
#include "quant/containers/restate.h"
#include "quant/containers/travelling_texts.h"

namespace bitlaw::quant {

namespace {

using data::Json;

// "weight" comes with a scale of its own where it holds codes. What is not read of inputs and outputs is
// named so that it is refused with its layer, not taken for a tensor of the model.
const std::vector<std::string> kMarks = {"weight_packed", "weight_scale"};
const std::vector<std::string> kMembers = {
    "weight",       "weight_packed",       "weight_scale",       "weight_shape",     "weight_zero_point",
    "weight_g_idx", "weight_global_scale", "input_scale",        "input_zero_point", "input_global_scale",
    "output_scale", "output_zero_point",   "output_global_scale"};

std::optional<PackedInput> inputs_of(const PackedModel& model, const std::string& module) {
  const auto found = model.activations.find(module);
  return found == model.activations.end() ? std::nullopt : std::optional(found->second);
}

// `natural` under the spec that travelled with it: the type of a static scale is all that may differ.
PackedInput at_home(PackedInput natural, const TravellingSpecs& specs, const std::string& module) {
  const auto found = specs.activations.find(module);
  if (found == specs.activations.end()) {
    throw data::InputError(
        "the input of " + module + " is quantised, but bitlaw.activations does not name it",
        "the two were written together", "write the file again with bitlaw");
  }
  QuantSpecFields fields = natural.spec.fields();
  if (bits_of(fields.scale_dtype) > 8 && bits_of(found->second.fields().scale_dtype) > 8) {
    fields.scale_dtype = found->second.fields().scale_dtype;
  }
  if (!(QuantSpec(fields) == found->second)) {
    throw data::InputError("the input of " + module + " was " + found->second.to_string() + ", but is " +
                               natural.spec.to_string(),
                           "the two were written together", "write the file again with bitlaw");
  }
  natural.spec = found->second;
  check_packed(natural);
  return natural;
}

// The input of a layer, its members taken out; none where it is not quantised.
std::optional<PackedInput> take_inputs(const std::string& module, Members& members,
                                       const CompressedConfig& config, const TravellingSpecs& specs) {
  const std::optional<QuantSpec>& inputs = config.scheme_of(module).inputs;
  if (!inputs) {
    return std::nullopt;
  }
  try {
    PackedInput natural = take_compressed_inputs(*inputs, members);
    return specs.present ? at_home(std::move(natural), specs, module) : natural;
  } catch (const data::InputError& error) {
    throw data::InputError("layer " + module + ": " + error.what());
  }
}

PackedTensor read_layer(const std::string& module, const Members& members, const CompressedConfig& config,
                        std::optional<WordLayout> layout, const TravellingSpecs& specs) {
  const CompressedScheme& scheme = config.scheme_of(module);
  if (members.count("weight_g_idx") > 0 && !scheme.scattered_groups) {
    throw data::InputError("layer " + module + " has weight_g_idx", "its scheme has no actorder group",
                           "write the file again with the tool that made it");
  }
  PackedTensor natural;
  try {
    natural = from_compressed_tensors(members, scheme.weights, scheme.format, layout);
  } catch (const data::InputError& error) {
    throw data::InputError("layer " + module + ": " + error.what());
  }
  return at_home(std::move(natural), specs, module);
}

}  // namespace

ModelFolder make_compressed_tensors(const PackedModel& model, WordLayout layout, bool widen,
                                    Refusals& refusals) {
  ModelFolder contents;
  contents.file.tensors = model.tensors;
  contents.file.metadata = travelling_texts(model);
  contents.file.metadata["format"] = "pt";
  std::map<std::string, CompressedScheme> schemes;
  for (const auto& [module, packed] : model.weights) {
    const std::optional<PackedInput> inputs = inputs_of(model, module);
    try {
      if (inputs) {
        check_compressed_inputs(inputs->spec);
      }
      const bool integers = inputs && inputs->spec.fields().type == NumberType::integer;
      CompressedLayer layer = to_compressed_tensors(packed, {layout, widen, integers});
      if (inputs) {
        put_compressed_inputs(*inputs, layer.members);
      }
      put_members(module, layer.members, contents.file);
      const bool scattered = layer.members.count("weight_g_idx") > 0;
      schemes.emplace(module, CompressedScheme{layer.format, layer.spec, scattered,
                                               inputs ? std::optional(inputs->spec) : std::nullopt});
    } catch (const NoExactForm& error) {
      refusals.push_back({module, packed.spec.to_string(), error.what()});
    }
  }
  const Json config = compressed_config(schemes, unquantised_modules(model), layout);
  contents.configs["config.json"] = Json(Json::Object{{"quantization_config", config}}).to_text() + "\n";
  return contents;
}

PackedModel read_compressed_tensors(const ModelFolder& contents, const std::string& origin,
                                    std::optional<WordLayout> said) {
  const CompressedConfig config(quantization_config(contents, origin), origin + "/config.json");
  const TravellingSpecs specs = read_travelling_texts(contents.file.metadata, origin);
  PackedModel model;
  model.attributes = specs.attributes;
  model.tensors = contents.file.tensors;
  const std::optional<WordLayout> layout = said ? said : config.layout();
  for (auto& [module, members] : take_members(model.tensors, kMarks, kMembers)) {
    if (const auto inputs = take_inputs(module, members, config, specs)) {
      model.activations.emplace(module, *inputs);
    }
    model.weights.emplace(module, read_layer(module, members, config, layout, specs));
  }
  check_complete(model, specs, origin);
  for (const auto& [module, spec] : specs.activations) {
    if (model.activations.count(module) == 0) {
      throw data::InputError(origin + ": the input of " + module + " is not quantised",
                             "bitlaw.activations names it", "write the file again with bitlaw");
    }
  }
  return model;
}

}  // namespace bitlaw::quant
