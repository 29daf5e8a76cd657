#include "launch/export_origin.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "data/formats/input_error.h"
#include "trainer/config/reader.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr const char* kOfRuns =
    "export the run again; a model that others quantised can be converted, but does not say its network";

std::string attribute(const quant::PackedModel& packed, const char* name) {
  const auto found = packed.attributes.find(name);
  return found == packed.attributes.end() ? "" : found->second;
}

void read_source(const nlohmann::json& json, ModelOrigin& origin) {
  origin.weights = json.value("weights", "model") == "ema" ? Weights::ema : Weights::model;
  origin.step = json.value("step", std::int64_t{0});
  origin.num_classes = json.value("num_classes", std::int64_t{0});
  origin.tokenizer_hash = json.value("tokenizer_hash", "");
  origin.parameter_hash = json.value("parameter_hash", "");
  origin.imported_from = json.value("imported_from", "");
}

}  // namespace

void put_origin(quant::PackedModel& packed, const ModelOrigin& origin) {
  nlohmann::ordered_json json;
  json["run"] = origin.config.run.name;
  json["step"] = origin.step;
  json["parameter_hash"] = origin.parameter_hash;
  json["weights"] = name_of(origin.weights);
  json["num_classes"] = origin.num_classes;
  json["tokenizer_hash"] = origin.tokenizer_hash;
  if (!origin.imported_from.empty()) {
    json["imported_from"] = origin.imported_from;
  }
  packed.attributes["config"] = trainer::write_config(origin.config);
  packed.attributes["source"] = json.dump();
}

ModelOrigin read_origin(const quant::PackedModel& packed, const fs::path& path) {
  ModelOrigin origin;
  try {
    read_source(nlohmann::json::parse(attribute(packed, "source")), origin);
  } catch (const nlohmann::json::exception&) {
    throw data::InputError(fmt::format("{}: the attribute source is missing or unreadable", path.string()),
                           "a network is rebuilt from it", kOfRuns);
  }
  if (attribute(packed, "config").empty()) {
    throw data::InputError(fmt::format("{}: the attribute config is missing", path.string()),
                           "a network is rebuilt from it", kOfRuns);
  }
  origin.path = path;
  origin.is_export = true;
  origin.config = trainer::parse_config(attribute(packed, "config"), path.string());
  origin.tokenizer = origin.config.model.vq;
  return origin;
}

}  // namespace bitlaw::launch
