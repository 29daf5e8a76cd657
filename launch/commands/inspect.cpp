// bitlaw inspect: what a run or an exported file holds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "launch/commands/command.h"
#include "launch/exit_code.h"
#include "launch/model_export.h"
#include "launch/run_folder.h"
#include "quant/bits.h"
#include "quant/prepare.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

// Where a checkpoint lies, whatever its run is called now; none: it was copied away from its run.
std::optional<fs::path> run_folder_of(const fs::path& checkpoint) {
  const fs::path folder = (fs::absolute(checkpoint) / "").lexically_normal().parent_path().parent_path();
  return folder.filename() == "checkpoints" ? std::optional(folder.parent_path()) : std::nullopt;
}

nlohmann::ordered_json describe(const LoadedModel& loaded) {
  const ModelOrigin& origin = loaded.origin;
  nlohmann::ordered_json json;
  json["path"] = origin.path.string();
  json["kind"] = !origin.is_export ? "run" : origin.imported_from.empty() ? "export" : "import";
  if (!origin.imported_from.empty()) {
    json["imported_from"] = origin.imported_from;
  }
  json["run"] = origin.config.run.name;
  json["task"] = data::enum_name(origin.config.task.kind);
  json["family"] = data::enum_name(origin.config.model.family);
  json["step"] = origin.step;
  json["parameter_hash"] = origin.parameter_hash;
  if (origin.is_export) {
    const ExportSize size = export_size(loaded);
    json["weights"] = name_of(origin.weights);
    json["model_bits"] = size.bits.model_bits();
    json["bits_per_weight"] = size.bits.bits_per_weight();
    json["quantised_weights"] = size.bits.quantised_weights;
    json["other_values"] = size.bits.rest_values;
    json["file_bytes"] = size.file_bytes;
    json["theoretical_bytes"] = size.theoretical_bytes();
    return json;
  }
  json["state_hash"] = origin.state_hash;
  const bool full = origin.config.quant.method == quant::Method::none;
  const quant::BitCount bits =
      quant::count_bits(*loaded.model, full ? quant::RestType::float32 : origin.config.quant.rest_dtype);
  json["model_bits"] = bits.model_bits();
  json["bits_per_weight"] = bits.bits_per_weight();
  json["quantised_weights"] = bits.quantised_weights;
  json["other_values"] = bits.rest_values;
  const std::optional<fs::path> run = run_folder_of(origin.path);
  json["finished"] = run && read_finished(*run);
  return json;
}

void print_lines(const nlohmann::ordered_json& json) {
  for (const auto& [key, value] : json.items()) {
    fmt::print("{:<18} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  struct Arguments {
    std::string path;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("inspect", "show what a run or an exported file holds");
  command->add_option("path", arguments->path, "run folder, checkpoint or export")
      ->required()
      ->type_name("RUN|FILE");
  command->add_flag("--json", arguments->json, "for programs");
  command->callback([arguments, &action] {
    action = [arguments] {
      const nlohmann::ordered_json json = describe(load_model(arguments->path));
      if (arguments->json) {
        fmt::print("{}\n", json.dump());
      } else {
        print_lines(json);
      }
      return kDone;
    };
  });
}

}  // namespace bitlaw::launch
