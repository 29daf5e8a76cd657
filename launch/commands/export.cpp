// bitlaw export: the packed file of a run, proved equal before it gets its name.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>

#include "data/formats/input_error.h"
#include "launch/commands/command.h"
#include "launch/exit_code.h"
#include "launch/model_export.h"
#include "launch/output_folder.h"
#include "quant/containers/container.h"
#include "quant/containers/unproved_files.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct ExportArguments {
  std::string run;
  std::string out;
  std::string format = "native";
  bool widen = false;
  bool ema = false;
  bool with_tokenizer = false;
};

void print_result(const fs::path& file, const VerifyReport& report) {
  const ExportSize& size = report.size;
  fmt::print("{}: {} bytes, theory {:.0f} bytes ({:+.2f} %), {:.3f} bits a quantised weight\n", file.string(),
             size.file_bytes, size.theoretical_bytes(),
             100.0 * (static_cast<double>(size.file_bytes) / size.theoretical_bytes() - 1.0),
             size.bits.bits_per_weight());
  fmt::print("verified: {}\n", report.to_string());
}

// Proves a native file, which is not kept, and writes the same codes and scales in the other container.
void export_foreign(const LoadedModel& trained, const fs::path& folder, const quant::WriteOptions& options) {
  quant::UnprovedFiles native(folder);
  const fs::path file = native.add("native.h5");
  const VerifyReport report = export_model(trained, file);
  const double theory = report.size.theoretical_bytes();
  for (const fs::path& written : quant::write_model(folder, quant::read_native(file), options)) {
    fmt::print("{}: {} bytes\n", written.string(), fs::file_size(written));
  }
  fmt::print("theory {:.0f} bytes at the bits of the specs\nverified: {}; read back equal to the bit\n",
             theory, report.to_string());
}

void export_into(const fs::path& file, const LoadedModel& model) {
  print_result(file, export_model(model, file));
}

// Found to be the run's own before anything is written.
std::optional<LoadedModel> load_companion(const ExportArguments& arguments, const ModelOrigin& origin) {
  if (!arguments.with_tokenizer) {
    return std::nullopt;
  }
  if (origin.config.model.family != distill::Family::var) {
    throw data::InputError(fmt::format("--with-tokenizer: {} is {}", arguments.run,
                                       distill::noun_of(origin.config.model.family)),
                           "only a VAR has a tokenizer beside it", "leave --with-tokenizer out");
  }
  return load_tokenizer(origin, "");
}

int run_export(const ExportArguments& arguments) {
  const quant::WriteOptions options{quant::container_named(arguments.format), arguments.widen};
  const LoadedModel trained = load_model(arguments.run, wish_of_flag(arguments.ema));
  if (trained.origin.is_export) {
    throw data::InputError(fmt::format("{}: is an export already", arguments.run),
                           "an export is made of a run's masters",
                           "name the run folder; 'bitlaw convert' writes it in another container");
  }
  const std::optional<LoadedModel> tokenizer = load_companion(arguments, trained.origin);
  refuse_another_model(arguments.out, options.container, trained.origin.config);
  if (tokenizer) {
    refuse_another_tokenizer(arguments.out, tokenizer->origin.config);
  }
  const OutputFolder folder(arguments.out);
  fmt::print("{}: {} weights of step {} of {}\n", trained.origin.config.run.name,
             name_of(trained.origin.weights), trained.origin.step, trained.origin.config.train.max_steps);
  if (options.container == quant::Container::native) {
    export_into(fs::path(arguments.out) / "model.h5", trained);
  } else {
    export_foreign(trained, arguments.out, options);
  }
  if (tokenizer) {
    export_into(fs::path(arguments.out) / kTokenizerFile, *tokenizer);
  }
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* command =
      app.add_subcommand("export", "write a run's weights packed, and prove the file equal to them");
  command->add_option("run", arguments->run, "run folder or checkpoint")->required()->type_name("RUN");
  command->add_option("--out", arguments->out, "folder for model.h5, or for the files of another format")
      ->required()
      ->type_name("DIR");
  command->add_option("--format", arguments->format, quant::container_list())
      ->type_name("FORMAT")
      ->capture_default_str();
  command->add_flag("--widen", arguments->widen,
                    "more bits where only that is exact (half grids, odd widths)");
  command->add_flag("--ema", arguments->ema, "the moving averages instead of the weights");
  command->add_flag("--with-tokenizer", arguments->with_tokenizer, "write tokenizer.h5 beside it");
  command->callback([arguments, &action] { action = [arguments] { return run_export(*arguments); }; });
}

}  // namespace bitlaw::launch
