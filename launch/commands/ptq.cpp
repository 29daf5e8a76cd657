// bitlaw ptq: post-training quantisation. Leaves a run folder like any training, of a run of no steps.
#include <CLI/CLI.hpp>
#include <memory>

#include "data/formats/file_io.h"
#include "data/formats/input_error.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/mixed_precision.h"
#include "launch/model_calibration.h"
#include "launch/plot.h"
#include "launch/quantise_alone.h"
#include "launch/run_folder.h"
#include "launch/training_run.h"
#include "quant/methods/method_plan.h"
#include "quant/requantise.h"
#include "trainer/agreement.h"

namespace bitlaw::launch {
namespace {

struct Request {
  ConfigArguments config;
  TrainingOptions options;
  double budget_bits = 0.0;  // a weight; 0: widths as configured
};

// A picture that cannot be drawn does not end the run: its script lies there.
void write_mixed_precision(const MixedPrecision& found, const std::filesystem::path& run, trainer::Log& log) {
  data::write_text_file(run / "mixed_precision.json", found.to_json());
  try {
    draw(found.frontier_plot(), run / "mixed_precision.png");
  } catch (const data::InputError& error) {
    log.warn(error.what());
  }
}

// What ptq does between the steps of a training that has none.
TrainingOptions options_of(const trainer::RunConfig& config, const Request& request) {
  TrainingOptions options = request.options;
  const auto found = std::make_shared<MixedPrecision>();
  if (request.budget_bits > 0.0) {
    options.amend_config = [found, bits = request.budget_bits](trainer::RunConfig& amended,
                                                               const TrainingSources& sources,
                                                               trainer::Collective& collective) {
      *found = find_mixed_precision(amended, sources, collective, bits);
      apply(*found, amended.quant);
    };
  }
  const bool calibrated = quant::is_calibrated(config.quant);
  options.before_first_step = [found, calibrated](const TrainingOptions::Start& start) {
    if (!found->layers.empty()) {
      start.log.info("mixed precision:\n" + found->to_string());
      trainer::on_rank_0([&] { write_mixed_precision(*found, run_path(start.config), start.log); },
                         start.collective);
    }
    if (calibrated) {
      calibrate_model(start);
    } else {
      quant::round_masters(start.task.model());
    }
  };
  return options;
}

int quantise(const Request& request) {
  trainer::RunConfig config = request.config.read();
  if (!quant::is_post_training(config.quant.method)) {
    throw data::InputError("quant.method: " + std::string(data::enum_name(config.quant.method)) +
                               " is not a post-training method",
                           "ptq takes no training step",
                           "set quant.method to rtn, gptq, awq, hqq, omniquant or block_ap, or use 'bitlaw "
                           "train' for ste, lsq and e2e_qp");
  }
  if (config.model.init == "random") {
    throw data::InputError("model.init: random", "there is nothing worth quantising in random weights",
                           "set model.init to the path of a run or an export, or to teacher");
  }
  config.train.max_steps = 0;
  config.schedule.warmup_steps = 0;
  if (needs_no_samples(config) && request.budget_bits == 0.0) {
    return quantise_alone(config, options_of(config, request));
  }
  return train(config, options_of(config, request));
}

}  // namespace

void add_ptq(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<Request>();
  CLI::App* command = app.add_subcommand(
      "ptq", "quantise a trained model without training it; leaves a run folder like any training");
  arguments->config.add_to(*command);
  command->add_flag("--dry-run", arguments->options.dry_run,
                    "check everything, print what would be quantised");
  command
      ->add_option("--budget-bits", arguments->budget_bits,
                   "bits a weight, scales included: each layer gets the width that a search finds for it")
      ->check(CLI::Range(1.0, 9.0));
  add_verbosity(*command, arguments->options.verbosity);
  command->callback([arguments, &action] { action = [arguments] { return quantise(*arguments); }; });
}

}  // namespace bitlaw::launch
