// bitlaw ptq: post-training quantisation. Leaves a run folder like any training, of a run of no steps.
#include <CLI/CLI.hpp>
#include <memory>

#include "data/formats/input_error.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/training_run.h"

namespace bitlaw::launch {
namespace {

int quantise(trainer::RunConfig config, const TrainingOptions& options) {
  if (config.quant.method != quant::Method::rtn) {
    throw data::InputError("quant.method: " + std::string(data::enum_name(config.quant.method)) +
                               " is not a post-training method",
                           "ptq takes no training step",
                           "set quant.method=rtn, or use 'bitlaw train' for ste and lsq");
  }
  if (config.model.init == "random") {
    throw data::InputError("model.init: random", "there is nothing worth quantising in random weights",
                           "set model.init to the path of a run or an export, or to teacher");
  }
  config.train.max_steps = 0;
  config.schedule.warmup_steps = 0;
  return train(config, options);
}

}  // namespace

void add_ptq(CLI::App& app, Action& action) {
  struct Arguments {
    ConfigArguments config;
    TrainingOptions options;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "ptq", "quantise a trained model by round-to-nearest; leaves a run folder like any training");
  arguments->config.add_to(*command);
  command->add_flag("--dry-run", arguments->options.dry_run,
                    "check everything, print what would be quantised");
  add_verbosity(*command, arguments->options.verbosity);
  command->callback([arguments, &action] {
    action = [arguments] { return quantise(arguments->config.read(), arguments->options); };
  });
}

}  // namespace bitlaw::launch
