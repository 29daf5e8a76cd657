// bitlaw train: training and fine-tuning of any task.
#include <CLI/CLI.hpp>
#include <memory>

#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/training_run.h"

namespace bitlaw::launch {

void add_train(CLI::App& app, Action& action) {
  struct Arguments {
    ConfigArguments config;
    TrainingOptions options;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("train", "train, or fine-tune through quantisation; continues where it stopped");
  arguments->config.add_to(*command);
  command
      ->add_option(
          "--resume", arguments->options.resume,
          "auto: the newest whole checkpoint of the run, if there is one; never; or the path of a checkpoint")
      ->capture_default_str();
  command->add_option("--stop-at", arguments->options.stop_at, "save and leave with code 75 at this step")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--dry-run", arguments->options.dry_run,
                    "check configuration, data and models, print what would run, write nothing");
  add_verbosity(*command, arguments->options.verbosity);
  command->callback([arguments, &action] {
    action = [arguments] { return train(arguments->config.read(), arguments->options); };
  });
}

}  // namespace bitlaw::launch
