// bitlaw train: training and fine-tuning of any task.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "data/formats/input_error.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/model_calibration.h"
#include "launch/training_run.h"
#include "quant/input_plan.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::launch {
namespace {

int train_from(const trainer::RunConfig& config, TrainingOptions options) {
  if (quant::is_calibrated(config.quant)) {
    throw data::InputError(
        "quant.method: " + std::string(data::enum_name(config.quant.method)) + " in a training",
        "its codes and scales come from calibration, which training does not do",
        "use 'bitlaw ptq', or quant.method: ste or lsq");
  }
  if (quant::has_static_inputs(config.quant)) {
    options.check_sources = check_calibration;
    options.before_first_step = observe_inputs;
  }
  return train(config, options);
}

}  // namespace

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
    action = [arguments] { return train_from(arguments->config.read(), arguments->options); };
  });
}

}  // namespace bitlaw::launch
