// The arguments that every command with a configuration takes: -c FILE ... and key=value overrides.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/config/run_config.h"
#include "trainer/log.h"

namespace CLI {
class App;
}

namespace bitlaw::launch {

struct ConfigArguments {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> overrides;

  void add_to(CLI::App& command);
  trainer::RunConfig read() const;  // InputError with all problems
};

// -v and -q of commands that log.
void add_verbosity(CLI::App& command, trainer::Verbosity& verbosity);

}  // namespace bitlaw::launch
