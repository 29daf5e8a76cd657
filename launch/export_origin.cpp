#include "launch/export_origin.h"

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/input_error.h"
#include "distill/models/published_models.h"
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

constexpr std::int64_t kMostClasses = std::int64_t{1} << 24;
constexpr std::string_view kPositions = "pos_embed";  // a parameter of published files that ours do not hold

// A member that somebody may have changed; 0 where there is none.
std::int64_t whole_number(const nlohmann::json& json, const char* key, std::int64_t most,
                          const fs::path& path) {
  const auto found = json.find(key);
  if (found == json.end()) {
    return 0;
  }
  const bool fits =
      found->is_number_unsigned() && found->get<std::uint64_t>() <= static_cast<std::uint64_t>(most);
  if (!fits) {
    throw data::InputError(
        fmt::format("{}: {} in the attribute source is {}", path.string(), key,
                    found->is_number() ? found->dump() : fmt::format("no number but {}", found->type_name())),
        fmt::format("a network is rebuilt from it, and it is a whole number from 0 to {}", most),
        "export the run again");
  }
  return found->get<std::int64_t>();
}

void read_source(const nlohmann::json& json, ModelOrigin& origin) {
  origin.weights = json.value("weights", "model") == "ema" ? Weights::ema : Weights::model;
  origin.step = whole_number(json, "step", std::numeric_limits<std::int64_t>::max(), origin.path);
  origin.num_classes = whole_number(json, "num_classes", kMostClasses, origin.path);
  origin.tokenizer_hash = json.value("tokenizer_hash", "");
  origin.parameter_hash = json.value("parameter_hash", "");
  origin.imported_from = json.value("imported_from", "");
}

// Before a network of so many classes is made.
void check_class_table(const quant::PackedModel& packed, const ModelOrigin& origin) {
  const std::string name = distill::class_table(origin.config.model.family);
  const auto table = packed.tensors.find(name);
  if (name.empty() || table == packed.tensors.end() || table->second.shape.empty()) {
    return;
  }
  const std::int64_t classes = distill::class_count(origin.config.model, table->second.shape.front());
  if (classes != origin.num_classes) {
    throw data::InputError(fmt::format("{}: num_classes in the attribute source is {}, {} is a table of {}",
                                       origin.path.string(), origin.num_classes, name, classes),
                           "one of the two is of another model", "export the run again");
  }
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
  origin.path = path;
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
  origin.is_export = true;
  origin.config = trainer::parse_config(attribute(packed, "config"), path.string());
  origin.tokenizer = origin.config.model.vq;
  check_class_table(packed, origin);
  return origin;
}

void check_size(const quant::PackedModel& packed, const ModelOrigin& origin) {
  std::int64_t stored = 0;
  for (const auto& [name, tensor] : packed.tensors) {
    stored += std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>());
  }
  for (const auto& [name, weight] : packed.weights) {
    stored += weight.out_features * weight.in_features;
  }
  std::vector<distill::WeightShape> weights = distill::weights_of(origin.config.model, origin.num_classes);
  std::erase_if(weights, [](const distill::WeightShape& weight) { return weight.name == kPositions; });
  const std::int64_t wanted = distill::parameter_count(weights);
  if (wanted > stored) {
    throw data::InputError(
        fmt::format("{}: {} elements, the network of the attribute config has {} parameters",
                    origin.path.string(), stored, wanted),
        "they are of two models", "export the run again");
  }
}

void check_origin(const quant::PackedModel& packed, const fs::path& path) {
  if (packed.attributes.count("source") != 0 || packed.attributes.count("config") != 0) {
    read_origin(packed, path);
  }
}

}  // namespace bitlaw::launch
