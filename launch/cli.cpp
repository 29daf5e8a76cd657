#include "launch/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "launch/exit_code.h"
#include "launch/version.h"
#include "trainer/config/reader.h"

namespace bitlaw::launch {
namespace {

std::string version_text() {
  const std::string git = kGit;
  return fmt::format("bitlaw {}{} (LibTorch {})", kVersion, git.empty() ? "" : " " + git, kTorchVersion);
}

void add_commands(CLI::App& app, Action& action) {
  add_data(app, action);
  add_import(app, action);
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

std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first.empty() || first.front() == '-') {
    return "";
  }
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    names.push_back(command->get_name());
  }
  if (std::find(names.begin(), names.end(), first) != names.end()) {
    return "";
  }
  const std::string nearest = trainer::nearest_name(first, names);
  return fmt::format("there is no command '{}' [nothing would be done]; {}", first,
                     nearest.empty() ? std::string("see 'bitlaw --help'")
                                     : fmt::format("did you mean '{}'? See 'bitlaw --help'", nearest));
}

// Of the sub-command that was meant, if there was one: its options are not in the program's own help.
std::string help_of(const CLI::App& app, int argc, char** argv) {
  std::string text = "bitlaw";
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const auto named =
        at->get_subcommands([&](const CLI::App* command) { return command->get_name() == argv[i]; });
    if (named.empty()) {
      break;
    }
    at = named.front();
    text.append(" ").append(argv[i]);
  }
  return text + " --help";
}

// CLI11 has codes of its own; a mistake on the command line is code 2, --help and --version are 0.
int report_parse_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) {
    return app.exit(error);
  }
  fmt::print(stderr, "error: {} [the command line could not be understood]; see '{}'\n", error.what(),
             help_of(app, argc, argv));
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
  if (const std::string problem = unknown_command(app, argc, argv); !problem.empty()) {
    fmt::print(stderr, "error: {}\n", problem);
    return kUserMistake;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_parse_error(app, error, argc, argv);
  }
  return exit_code_of(action);
}

}  // namespace bitlaw::launch
