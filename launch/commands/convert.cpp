// bitlaw convert: a quantised model from one container to another, without touching codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "launch/commands/command.h"
#include "launch/exit_code.h"
#include "launch/export_origin.h"
#include "launch/output_folder.h"
#include "quant/containers/container.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct ConvertArguments {
  std::string input;
  std::string to;
  std::string from;
  std::string out;
  bool widen = false;
};

int run_convert(const ConvertArguments& arguments) {
  const quant::WriteOptions options{quant::container_named(arguments.to), arguments.widen};
  const auto from =
      arguments.from.empty() ? std::nullopt : std::optional(quant::container_named(arguments.from));
  refuse_any_model(arguments.out);
  const quant::PackedModel model = quant::read_model(arguments.input, from);
  check_origin(model, arguments.input);  // a sealed file says that its texts are right
  const OutputFolder folder(arguments.out);
  for (const fs::path& file : quant::write_model(arguments.out, model, options)) {
    fmt::print("{}: {} bytes\n", file.string(), fs::file_size(file));
  }
  fmt::print("verified: {} packed layers and {} other tensors read back equal to the bit\n",
             model.weights.size(), model.tensors.size());
  return kDone;
}

}  // namespace

void add_convert(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<ConvertArguments>();
  CLI::App* command = app.add_subcommand(
      "convert", "write a quantised model in another container, codes and scales untouched");
  command->add_option("input", arguments->input, "model.h5, model.gguf, or the folder of a model")
      ->required()
      ->type_name("IN");
  command->add_option("--to", arguments->to, quant::container_list())->required()->type_name("FORMAT");
  command->add_option("--out", arguments->out, "folder for the files")->required()->type_name("DIR");
  command->add_option("--from", arguments->from, "what IN is, where its files leave it open")
      ->type_name("FORMAT");
  command->add_flag("--widen", arguments->widen,
                    "more bits where only that is exact (half grids, odd widths)");
  command->callback([arguments, &action] { action = [arguments] { return run_convert(*arguments); }; });
}

}  // namespace bitlaw::launch
