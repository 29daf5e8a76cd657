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

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct Arguments {
  std::string run;
  std::string out;
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

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw data::InputError(fmt::format("--out: {} cannot be made ({})", folder.string(), error.message()),
                           "the packed file goes there", "name a folder that can be written");
  }
}

void export_into(const fs::path& file, const LoadedModel& model) {
  print_result(file, export_model(model, file));
}

// Found to be the run's own before anything is written.
std::optional<LoadedModel> load_companion(const Arguments& arguments, const ModelOrigin& origin) {
  if (!arguments.with_tokenizer) {
    return std::nullopt;
  }
  if (origin.config.model.family == distill::Family::vq) {
    throw data::InputError(fmt::format("--with-tokenizer: {} is a tokenizer itself", arguments.run),
                           "only a model of tokens has a tokenizer beside it", "leave --with-tokenizer out");
  }
  return load_tokenizer(origin, "");
}

// A folder's file may be replaced by a later state of the same run, not by another model.
void refuse_another_run(const fs::path& file, const std::string& run) {
  if (!fs::exists(file)) {
    return;
  }
  const std::string there = load_model(file).origin.config.run.name;
  if (there != run) {
    throw data::InputError(fmt::format("--out: {} is of run {}, not of {}", file.string(), there, run),
                           "it would be replaced by another model",
                           "name another folder, or remove the file");
  }
}

int run_export(const Arguments& arguments) {
  const LoadedModel trained = load_model(arguments.run, wish_of_flag(arguments.ema));
  if (trained.origin.is_export) {
    throw data::InputError(fmt::format("{}: is an export already", arguments.run),
                           "an export is made of a run's masters", "name the run folder");
  }
  const std::optional<LoadedModel> tokenizer = load_companion(arguments, trained.origin);
  make_folder(arguments.out);
  refuse_another_run(fs::path(arguments.out) / "model.h5", trained.origin.config.run.name);
  fmt::print("{}: {} weights of step {} of {}\n", trained.origin.config.run.name,
             name_of(trained.origin.weights), trained.origin.step, trained.origin.config.train.max_steps);
  export_into(fs::path(arguments.out) / "model.h5", trained);
  if (tokenizer) {
    export_into(fs::path(arguments.out) / "tokenizer.h5", *tokenizer);
  }
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("export", "write a run's weights packed, and prove the file equal to them");
  command->add_option("run", arguments->run, "run folder or checkpoint")->required()->type_name("RUN");
  command->add_option("--out", arguments->out, "folder for model.h5")->required()->type_name("DIR");
  command->add_flag("--ema", arguments->ema, "the moving averages instead of the weights");
  command->add_flag("--with-tokenizer", arguments->with_tokenizer, "write tokenizer.h5 beside it");
  command->callback([arguments, &action] { action = [arguments] { return run_export(*arguments); }; });
}

}  // namespace bitlaw::launch
