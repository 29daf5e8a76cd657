// The widths that an earlier start of a run found, out of its record.
#include <fstream>
#include <nlohmann/json.hpp>

#include "launch/mixed_precision.h"
#include "launch/run_folder.h"
#include "trainer/agreement.h"

namespace bitlaw::launch {

namespace {

std::optional<std::vector<LayerWidth>> read_record(const std::filesystem::path& file,
                                                   double bits_per_weight) {
  std::ifstream in(file);
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    if (json.at("budget_bits").get<double>() != bits_per_weight) {
      return std::nullopt;
    }
    std::vector<LayerWidth> widths;
    for (const nlohmann::json& layer : json.at("layers")) {
      if (!layer.at("decided").get<bool>()) {
        widths.push_back({layer.at("name").get<std::string>(), layer.at("chosen").get<std::int64_t>()});
      }
    }
    return widths;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // not there, or not of this version: it is measured again
  }
}

}  // namespace

std::optional<std::vector<LayerWidth>> recorded_widths(const std::filesystem::path& run,
                                                       double bits_per_weight,
                                                       trainer::Collective& collective) {
  auto widths = read_finished(run) ? read_record(run / kMixedPrecisionFile, bits_per_weight) : std::nullopt;
  if (!trainer::decision_of_rank_0(widths.has_value(), collective)) {
    return std::nullopt;
  }
  return widths ? std::move(widths) : std::vector<LayerWidth>();  // ranks then differ, and say so
}

}  // namespace bitlaw::launch
