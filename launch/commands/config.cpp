// bitlaw config: the merged configuration, and the reference of every key.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/exit_code.h"
#include "trainer/config/check.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {

void add_config(CLI::App& app, Action& action) {
  struct Arguments {
    ConfigArguments config;
    bool reference = false;
    int ranks = 1;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("config", "print the merged and checked configuration");
  arguments->config.add_to(*command);
  command->get_option("--config")->required(false);
  command->add_flag("--reference", arguments->reference,
                    "print every key with its default and meaning (Markdown)");
  command->add_option("--ranks", arguments->ranks, "check for so many ranks")->check(CLI::Range(1, 1 << 20));
  command->callback([arguments, &action] {
    action = [arguments] {
      if (arguments->reference) {
        fmt::print("{}", trainer::config_reference());
        return kDone;
      }
      const trainer::RunConfig config = arguments->config.read();
      trainer::check_config(config, arguments->ranks);
      fmt::print("{}", trainer::write_config(config));
      return kDone;
    };
  });
}

}  // namespace bitlaw::launch
