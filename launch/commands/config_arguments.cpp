#include "launch/commands/config_arguments.h"

#include <CLI/CLI.hpp>

#include "trainer/config/reader.h"

namespace bitlaw::launch {

void ConfigArguments::add_to(CLI::App& command) {
  command.add_option("-c,--config", files, "configuration file (YAML); repeatable, later ones win")
      ->required()
      ->allow_extra_args(false)
      ->type_name("FILE");
  command
      .add_option("overrides", overrides, "single keys, e.g. optim.lr=1e-4 (see 'bitlaw config --reference')")
      ->type_name("KEY=VALUE");
}

trainer::RunConfig ConfigArguments::read() const {
  return trainer::read_config(files, overrides);
}

void add_verbosity(CLI::App& command, trainer::Verbosity& verbosity) {
  command.add_flag_callback(
      "-v,--verbose", [&verbosity] { verbosity = trainer::Verbosity::verbose; }, "log details");
  command.add_flag_callback(
      "-q,--quiet", [&verbosity] { verbosity = trainer::Verbosity::quiet; }, "log warnings and errors only");
}

}  // namespace bitlaw::launch
