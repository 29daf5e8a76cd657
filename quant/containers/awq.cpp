#include "quant/containers/awq.h"

#include <numeric>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/awq_layer.h"
#include "quant/containers/restate.h"
#include "quant/containers/travelling_texts.h"

namespace bitlaw::quant {

namespace {

using data::Json;

const std::vector<std::string> kMarks = {"qweight"};
const std::vector<std::string> kMembers = {"qweight", "qzeros", "scales", "g_idx"};

// -1 when every row is one group.
std::int64_t common_group_size(const PackedModel& model) {
  std::int64_t common = 0;
  bool whole_rows = true;
  for (const auto& [module, packed] : model.weights) {
    const std::int64_t width = packed.spec.group_width(packed.in_features);
    whole_rows = whole_rows && width == packed.in_features;
    common = std::gcd(common, width);
  }
  return whole_rows ? -1 : common;
}

[[noreturn]] void fail(const std::string& origin, const std::string& what, const std::string& why) {
  throw data::InputError(origin + "/config.json: " + what, why,
                         "write the file again with the tool that made it");
}

std::int64_t read_group_size(const Json& config, const std::string& origin) {
  const Json* method = config.find("quant_method");
  if (method == nullptr || method->text() == nullptr || *method->text() != "awq") {
    fail(origin, "quant_method is not awq", "another method stores other numbers");
  }
  const Json* version = config.find("version");
  if (version != nullptr &&
      (version->text() == nullptr || (*version->text() != "gemm" && *version->text() != "GEMM"))) {
    fail(origin, "version is not gemm", "the other versions pack codes in another order");
  }
  const Json* bits = config.find("bits");
  if (bits == nullptr || bits->integer() == nullptr || *bits->integer() != 4) {
    fail(origin, "bits is not 4", "AWQ's codes have 4 bits");
  }
  const Json* group_size = config.find("group_size");
  if (group_size == nullptr || group_size->integer() == nullptr) {
    fail(origin, "no group_size", "it says which codes share a scale");
  }
  return *group_size->integer();
}

PackedTensor read_layer(const std::string& module, const Members& members, std::int64_t group_size) {
  try {
    return from_awq(members, group_size);
  } catch (const data::InputError& error) {
    throw data::InputError("layer " + module + ": " + error.what());
  }
}

}  // namespace

ModelFolder make_awq(const PackedModel& model, bool widen, Refusals& refusals) {
  ModelFolder contents;
  contents.file.tensors = model.tensors;
  contents.file.metadata = travelling_texts(model);
  contents.file.metadata["format"] = "pt";
  const std::int64_t group_size = common_group_size(model);
  for (const auto& [module, packed] : model.weights) {
    try {
      refuse_static_input(model, module);
      put_members(module, to_awq(packed, {group_size, widen}), contents.file);
    } catch (const NoExactForm& error) {
      refusals.push_back({module, packed.spec.to_string(), error.what()});
    }
  }
  const std::vector<std::string> ignored = unquantised_modules(model);
  const Json config = Json::Object{
      {"quant_method", "awq"},    {"bits", 4},
      {"group_size", group_size}, {"zero_point", true},
      {"version", "gemm"},        {"modules_to_not_convert", Json::Array(ignored.begin(), ignored.end())}};
  contents.configs["config.json"] = Json(Json::Object{{"quantization_config", config}}).to_text() + "\n";
  return contents;
}

PackedModel read_awq(const ModelFolder& contents, const std::string& origin) {
  const std::int64_t group_size = read_group_size(quantization_config(contents, origin), origin);
  const TravellingSpecs specs = read_travelling_texts(contents.file.metadata, origin);
  PackedModel model;
  model.attributes = specs.attributes;
  model.activations = dynamic_inputs(specs, origin);
  model.tensors = contents.file.tensors;
  for (const auto& [module, members] : take_members(model.tensors, kMarks, kMembers)) {
    model.weights.emplace(module, at_home(read_layer(module, members, group_size), specs, module));
  }
  check_complete(model, specs, origin);
  return model;
}

}  // namespace bitlaw::quant
