// bitlaw verify: an exported file against the run it was made of.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launch/commands/command.h"
#include "launch/exit_code.h"
#include "launch/model_export.h"

namespace bitlaw::launch {

void add_verify(CLI::App& app, Action& action) {
  struct Arguments {
    std::string file;
    std::string run;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("verify", "prove that an exported file equals the run it was made of");
  command->add_option("file", arguments->file, "exported model.h5 or tokenizer.h5")
      ->required()
      ->type_name("FILE");
  command->add_option("--against", arguments->run, "run folder or checkpoint")->required()->type_name("RUN");
  command->callback([arguments, &action] {
    action = [arguments] {
      const LoadedModel stored = load_model(arguments->file);
      const LoadedModel trained = load_model(arguments->run, {stored.origin.weights});
      fmt::print("verified: {}\n", verify_model(trained, stored).to_string());
      return kDone;
    };
  });
}

}  // namespace bitlaw::launch
