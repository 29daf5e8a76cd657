// bitlaw import: published weights as a model that the other commands take.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/formats/input_error.h"
#include "distill/models/published_models.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/exit_code.h"
#include "launch/weights_import.h"

namespace bitlaw::launch {
namespace {

constexpr std::size_t kMostNamesShown = 4;

struct ImportArguments {
  ImportRequest request;
  ConfigArguments config;
  std::string file;
  std::string section;
  std::string tokenizer;
  std::string out;
  bool json = false;
};

nlohmann::ordered_json to_json(const ImportReport& report) {
  const ModelOrigin& origin = report.origin;
  nlohmann::ordered_json json;
  json["path"] = origin.path.string();
  json["imported_from"] = origin.imported_from;
  json["family"] = data::enum_name(origin.config.model.family);
  json["section"] = report.section;
  json["other_sections"] = report.other_sections;
  json["tensors"] = report.tensors;
  json["parameters"] = report.parameters;
  json["dtypes"] = report.loaded.dtypes;
  json["skipped"] = report.loaded.skipped;
  json["num_classes"] = origin.num_classes;
  json["parameter_hash"] = origin.parameter_hash;
  json["tokenizer_hash"] = origin.tokenizer_hash;
  json["file_bytes"] = report.file_bytes;
  return json;
}

// The first few, and how many more.
std::string shortened(std::vector<std::string> names) {
  const std::size_t count = names.size();
  names.resize(std::min(count, kMostNamesShown));
  for (std::string& name : names) {
    name = name.empty() ? "(the file itself)" : name;
  }
  return fmt::format("{}{}", fmt::join(names, ", "),
                     count > kMostNamesShown ? fmt::format(" and {} more", count - kMostNamesShown) : "");
}

void print_report(const ImportReport& report) {
  const ModelOrigin& origin = report.origin;
  fmt::print("{}: {} parameters in {} tensors, {} in the file\n", origin.imported_from, report.parameters,
             report.tensors, fmt::join(report.loaded.dtypes, ", "));
  if (!report.other_sections.empty()) {
    fmt::print("sections that were left: {}\n", shortened(report.other_sections));
  }
  if (!report.loaded.skipped.empty()) {
    fmt::print("buffers that no forward needs from it: {}\n", shortened(report.loaded.skipped));
  }
  fmt::print("parameter_hash {}\n", origin.parameter_hash);
  if (!origin.tokenizer_hash.empty()) {
    fmt::print("tokenizer_hash {}\n", origin.tokenizer_hash);
  }
  fmt::print("{}: {} bytes, read back and equal to the bit\n", origin.path.string(), report.file_bytes);
}

int run_import(const ImportArguments& arguments) {
  ImportRequest request = arguments.request;
  const bool own = !arguments.config.files.empty() ||
                   std::any_of(arguments.config.overrides.begin(), arguments.config.overrides.end(),
                               [](const std::string& text) { return text.starts_with("model."); });
  if (request.published.empty() && !own) {
    throw data::InputError(
        "--model is missing", "a file of weights does not say what network they are of",
        fmt::format("name one of {}, or give model.* keys of your own (-c FILE, KEY=VALUE)",
                    fmt::join(distill::published_models(), ", ")));
  }
  request.config = arguments.config.read();
  request.file = arguments.file;
  request.out = arguments.out;
  if (!arguments.section.empty()) {
    request.section = arguments.section;
  }
  if (!arguments.tokenizer.empty()) {
    request.config.tokenizer.from = arguments.tokenizer;
  }
  const ImportReport report = import_weights(request);
  if (arguments.json) {
    fmt::print("{}\n", to_json(report).dump());
  } else {
    print_report(report);
  }
  return kDone;
}

}  // namespace

void add_import(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command =
      app.add_subcommand("import", "published weights as a model that ptq, eval, sample and convert take");
  command->add_option("file", arguments->file, "weights as torch.save (.pth, .pt) or safetensors wrote them")
      ->required()
      ->type_name("FILE");
  command
      ->add_option(
          "--model", arguments->request.published,
          "what they are of: var-d16, var-vq, dit-xl-2, llamagen-b, ... (docs/import.md lists them); "
          "or a geometry of your own, by model.* keys")
      ->type_name("NAME");
  command->add_option("--out", arguments->out, "folder for model.h5 and model.yaml")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--section", arguments->section,
                   "key of the weights in a file that holds several, e.g. model, ema")
      ->type_name("KEY");
  command
      ->add_option("--tokenizer", arguments->tokenizer,
                   "import, run or export of the tokenizer whose tokens a VAR speaks")
      ->type_name("RUN|EXPORT");
  command->add_flag("--json", arguments->json, "print JSON");
  arguments->config.add_to(*command);
  command->get_option("--config")->required(false);
  command->callback([arguments, &action] { action = [arguments] { return run_import(*arguments); }; });
}

}  // namespace bitlaw::launch
