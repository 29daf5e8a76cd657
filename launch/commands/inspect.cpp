// bitlaw inspect: what a run, an exported file or a model in a container of others holds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "launch/commands/command.h"
#include "launch/exit_code.h"
#include "launch/export_origin.h"
#include "launch/foreign_model.h"
#include "launch/model_export.h"
#include "launch/run_folder.h"
#include "quant/bits.h"
#include "quant/containers/container.h"
#include "quant/prepare.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

// Where a checkpoint lies, whatever its run is called now; none: it was copied away from its run.
std::optional<fs::path> run_folder_of(const fs::path& checkpoint) {
  const fs::path folder = (fs::absolute(checkpoint) / "").lexically_normal().parent_path().parent_path();
  return folder.filename() == "checkpoints" ? std::optional(folder.parent_path()) : std::nullopt;
}

void add_bits(const quant::BitCount& bits, nlohmann::ordered_json& json) {
  json["model_bits"] = bits.model_bits();
  json["bits_per_weight"] = bits.bits_per_weight();
  json["quantised_weights"] = bits.quantised_weights;
  json["other_values"] = bits.rest_values;
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
  if (!origin.tokenizer_hash.empty()) {
    json["tokenizer_hash"] = origin.tokenizer_hash;
  }
  if (origin.is_export) {
    const ExportSize size = export_size(loaded);
    json["weights"] = name_of(origin.weights);
    add_bits(size.bits, json);
    json["file_bytes"] = size.file_bytes;
    json["theoretical_bytes"] = size.theoretical_bytes();
    return json;
  }
  json["state_hash"] = origin.state_hash;
  const bool full = origin.config.quant.method == quant::Method::none;
  add_bits(quant::count_bits(*loaded.model, full ? quant::RestType::float32 : origin.config.quant.rest_dtype),
           json);
  const std::optional<fs::path> run = run_folder_of(origin.path);
  json["finished"] = run && read_finished(*run);
  return json;
}

// A model in a container of others: what its codes are of, and how it becomes one that is evaluated.
nlohmann::ordered_json describe_container(const ForeignModel& foreign) {
  const quant::PackedModel packed = quant::read_model(foreign.path);
  nlohmann::ordered_json json;
  json["path"] = foreign.path.string();
  json["kind"] = foreign.container;
  if (packed.attributes.count("source") != 0) {  // it was written by bitlaw
    const ModelOrigin origin = read_origin(packed, foreign.path);
    json["run"] = origin.config.run.name;
    json["family"] = data::enum_name(origin.config.model.family);
    json["step"] = origin.step;
    json["parameter_hash"] = origin.parameter_hash;
  }
  std::map<std::string, std::int64_t> layers;  // of each spec
  for (const auto& [name, weight] : packed.weights) {
    ++layers[weight.spec.to_string()];
  }
  json["packed_layers"] = layers;
  add_bits(quant::count_bits(packed), json);
  json["other_commands"] = foreign.remedy();
  return json;
}

nlohmann::ordered_json describe_path(const fs::path& path) {
  const std::optional<ForeignModel> foreign = foreign_model(path);
  return foreign && !foreign->container.empty() ? describe_container(*foreign) : describe(load_model(path));
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
  CLI::App* command =
      app.add_subcommand("inspect", "show what a run, an export or a model in another format holds");
  command
      ->add_option("path", arguments->path,
                   "run folder, checkpoint, export, or a model in GPTQ, AWQ, compressed-tensors or GGUF")
      ->required()
      ->type_name("RUN|FILE");
  command->add_flag("--json", arguments->json, "for programs");
  command->callback([arguments, &action] {
    action = [arguments] {
      const nlohmann::ordered_json json = describe_path(arguments->path);
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
