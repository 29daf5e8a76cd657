#include "launch/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "launch/exit_code.h"
#include "launch/version.h"

namespace bitlaw::launch {
namespace {

std::string version_text() {
  const std::string git = kGit;
  return fmt::format("bitlaw {}{} (LibTorch {})", kVersion, git.empty() ? "" : " " + git, kTorchVersion);
}

void add_commands(CLI::App& app, Action& action) {
  add_data(app, action);
  add_train(app, action);
  add_ptq(app, action);
  add_eval(app, action);
  add_sample(app, action);
  add_export(app, action);
  add_convert(app, action);
  add_verify(app, action);
  add_inspect(app, action);
  add_config(app, action);
  app.require_subcommand(1);
}

// CLI11 has codes of its own; a mistake on the command line is code 2, --help and --version are 0.
int report_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    return app.exit(error);
  }
  fmt::print(stderr, "error: {} [the command line could not be understood]; see '{} --help'\n", error.what(),
             "bitlaw");
  return kUserMistake;
}

}  // namespace

int run_program(int argc, char** argv) {
  CLI::App app{
      "Low-bit training of image generators: quantisation-aware fine-tuning with distillation, packed "
      "export.\n"
      "Start training on several ranks with mpirun or srun: mpirun -np 2 bitlaw train -c FILE"};
  app.set_version_flag("--version", version_text());
  app.footer(
      "Exit codes: 0 done; 1 a bug of bitlaw; 2 your configuration, input or machine; 3 do not run again "
      "unchanged; "
      "75 run me again.");
  Action action;
  add_commands(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_parse_error(app, error);
  }
  return exit_code_of(action);
}

}  // namespace bitlaw::launch
