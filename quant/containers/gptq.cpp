#include "quant/containers/gptq.h"

#include <map>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/gptq_config.h"
#include "quant/containers/restate.h"
#include "quant/containers/travelling_texts.h"

namespace bitlaw::quant {

namespace {

using data::Json;

const std::vector<std::string> kMarks = {"qweight"};
const std::vector<std::string> kMembers = {"qweight", "qzeros", "scales", "g_idx"};

PackedTensor read_layer(const std::string& module, const Members& members, const GptqClaim& claim) {
  try {
    return from_gptq(members, claim);
  } catch (const data::InputError& error) {
    throw data::InputError("layer " + module + ": " + error.what());
  }
}

GptqConfig config_of(const ModelFolder& contents, const std::string& origin) {
  const auto own = contents.configs.find(kGptqConfigFile);
  if (own == contents.configs.end()) {
    return {quantization_config(contents, origin), origin + "/config.json"};
  }
  const std::string name = origin + "/" + kGptqConfigFile;
  return {Json::parse(own->second, name), name};
}

}  // namespace

ModelFolder make_gptq(const PackedModel& model, const GptqOptions& options, Refusals& refusals) {
  ModelFolder contents;
  contents.file.tensors = model.tensors;
  contents.file.metadata = travelling_texts(model);
  contents.file.metadata["format"] = "pt";
  std::map<std::string, GptqLayer> layers;
  for (const auto& [module, packed] : model.weights) {
    try {
      refuse_static_input(model, module);
      GptqLayer layer = to_gptq(packed, options);
      put_members(module, layer.members, contents.file);
      layer.members.clear();
      layers.emplace(module, std::move(layer));
    } catch (const NoExactForm& error) {
      refusals.push_back({module, packed.spec.to_string(), error.what()});
    }
  }
  const Json config = gptq_config(layers, options.version);
  contents.configs[kGptqConfigFile] = config.to_text() + "\n";
  contents.configs["config.json"] = Json(Json::Object{{"quantization_config", config}}).to_text() + "\n";
  return contents;
}

PackedModel read_gptq(const ModelFolder& contents, const std::string& origin) {
  const GptqConfig config = config_of(contents, origin);
  const TravellingSpecs specs = read_travelling_texts(contents.file.metadata, origin);
  PackedModel model;
  model.attributes = specs.attributes;
  model.activations = dynamic_inputs(specs, origin);
  model.tensors = contents.file.tensors;
  for (const auto& [module, members] : take_members(model.tensors, kMarks, kMembers)) {
    PackedTensor natural = read_layer(module, members, config.claim_of(module));
    model.weights.emplace(module, at_home(std::move(natural), specs, module));
  }
  check_complete(model, specs, origin);
  return model;
}

}  // namespace bitlaw::quant
