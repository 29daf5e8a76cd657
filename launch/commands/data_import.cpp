// bitlaw data import: IDX files or a folder of pictures by class -> image shards.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "data/formats/input_error.h"
#include "data/import/import.h"
#include "launch/commands/data_commands.h"
#include "launch/exit_code.h"
#include "trainer/stop_signal.h"

namespace bitlaw::launch {
namespace {

struct DataImportArguments {
  data::ImportOptions options;
  std::string source;
  std::string out;
  std::string format = "auto";
  std::string split;  // empty: train
};

// A line that overwrites itself, on a terminal only.
bool show_progress(std::int64_t done, std::int64_t total) {
  if (::isatty(STDERR_FILENO) != 0)
    fmt::print(stderr, "\r{} of {} samples{}", done, total, done == total ? "\n" : "");
  return !trainer::stop_requested();
}

data::ImportResult import_source(const DataImportArguments& arguments) {
  const bool idx =
      arguments.format == "idx" || (arguments.format == "auto" && data::holds_idx(arguments.source));
  if (idx) return data::import_idx(arguments.options, arguments.split.empty() ? "train" : arguments.split);
  if (!arguments.split.empty()) {
    throw data::InputError("--split " + arguments.split + " with a folder of pictures",
                           "only IDX folders hold their splits side by side",
                           "name the folder of that split as SOURCE");
  }
  return data::import_image_folder(arguments.options);
}

int import_data(DataImportArguments arguments) {
  arguments.options.source = arguments.source;
  arguments.options.out = arguments.out;
  arguments.options.progress = show_progress;
  trainer::stop_at_interrupt();
  try {
    const data::ImportResult result = import_source(arguments);
    print_made(arguments.out, result.manifest, result.already_made);
  } catch (const data::ImportStopped& stopped) {
    throw trainer::StopRequested(stopped.what());
  }
  return kDone;
}

}  // namespace

void add_data_import(CLI::App& data, Action& action) {
  auto arguments = std::make_shared<DataImportArguments>();
  CLI::App* command = data.add_subcommand("import", "pictures -> shards of images");
  command->add_option("source", arguments->source, "folder of IDX files, or folder with a sub-folder a class")
      ->required()
      ->type_name("SOURCE");
  command->add_option("--out", arguments->out, "folder to make")->required()->type_name("DIR");
  command->add_option("--format", arguments->format, "what SOURCE holds")
      ->check(CLI::IsMember({"auto", "idx", "folder"}))
      ->capture_default_str();
  command->add_option("--split", arguments->split, "IDX: train-* or t10k-* files (default train)")
      ->check(CLI::IsMember({"train", "test"}));
  command
      ->add_option("--size", arguments->options.size,
                   "side of the square images: pictures are resized and cropped, smaller IDX images get a "
                   "black border")
      ->check(CLI::Range(1, 8192));
  command->add_option("--channels", arguments->options.channels, "1 grey, 3 RGB (default: IDX 1, pictures 3)")
      ->check(CLI::IsMember({1, 3}));
  command
      ->add_option("--samples-per-shard", arguments->options.samples_per_shard,
                   "default: 2048, fewer when a shard would exceed 64 MiB")
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", arguments->options.threads, "default: one a processor")
      ->check(CLI::PositiveNumber);
  command->callback([arguments, &action] { action = [arguments] { return import_data(*arguments); }; });
}

}  // namespace bitlaw::launch
