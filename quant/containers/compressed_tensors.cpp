#include "quant/containers/compressed_tensors.h"

#include <map>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/compressed_tensors_config.h"
#include "quant/containers/restate.h"
#include "quant/containers/travelling_texts.h"

namespace bitlaw::quant {

namespace {

using data::Json;

// "weight" comes with a scale of its own where it holds codes. Static scales of inputs are named so that they
// are refused with their layer, not taken for tensors of the model.
const std::vector<std::string> kMarks = {"weight_packed", "weight_scale"};
const std::vector<std::string> kMembers = {
    "weight",       "weight_packed",       "weight_scale",       "weight_shape",     "weight_zero_point",
    "weight_g_idx", "weight_global_scale", "input_scale",        "input_zero_point", "input_global_scale",
    "output_scale", "output_zero_point",   "output_global_scale"};

std::optional<QuantSpec> inputs_of(const PackedModel& model, const std::string& module) {
  const auto found = model.activations.find(module);
  return found == model.activations.end() ? std::nullopt : std::optional(found->second);
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
    const std::optional<QuantSpec> inputs = inputs_of(model, module);
    try {
      if (inputs) {
        check_compressed_inputs(*inputs);
      }
      const bool integers = inputs && inputs->fields().type == NumberType::integer;
      const CompressedLayer layer = to_compressed_tensors(packed, {layout, widen, integers});
      put_members(module, layer.members, contents.file);
      const bool scattered = layer.members.count("weight_g_idx") > 0;
      schemes.emplace(module, CompressedScheme{layer.format, layer.spec, scattered, inputs});
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
  model.activations = specs.activations;
  model.tensors = contents.file.tensors;
  const std::optional<WordLayout> layout = said ? said : config.layout();
  for (const auto& [module, members] : take_members(model.tensors, kMarks, kMembers)) {
    model.weights.emplace(module, read_layer(module, members, config, layout, specs));
    const std::optional<QuantSpec>& inputs = config.scheme_of(module).inputs;
    if (inputs && !specs.present) {
      model.activations.emplace(module, *inputs);
    }
  }
  check_complete(model, specs, origin);
  return model;
}

}  // namespace bitlaw::quant
