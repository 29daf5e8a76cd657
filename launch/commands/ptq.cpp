// bitlaw ptq: post-training quantisation. Leaves a run folder like any training, of a run of no steps.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <optional>
#include <string>

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
  std::optional<double> budget_bits;  // a weight; none: widths as configured
};

// A picture that cannot be drawn does not end the run: its script lies there.
void write_mixed_precision(const MixedPrecision& found, const std::filesystem::path& run, trainer::Log& log) {
  data::write_text_file(run / kMixedPrecisionFile, found.to_json());
  try {
    draw(found.frontier_plot(), run / "mixed_precision.png");
  } catch (const data::InputError& error) {
    log.warn(error.what());
  }
}

// The widths of an earlier start that ended, or those of a measurement, which is left in `found`.
void search_widths(trainer::RunConfig& config, const TrainingSources& sources,
                   trainer::Collective& collective, double bits, MixedPrecision& found) {
  const auto recorded = recorded_widths(run_path(config), bits, collective);
  if (!recorded) {
    found = find_mixed_precision(config, sources, collective, bits);
  }
  apply_widths(recorded ? *recorded : chosen_widths(found), config.quant);
}

// What ptq does between the steps of a training that has none.
TrainingOptions options_of(const trainer::RunConfig& config, const Request& request) {
  TrainingOptions options = request.options;
  options.use = request.budget_bits ? trainer::Use::width_search : trainer::Use::calibration;
  options.check_sources = check_calibration;
  const auto found = std::make_shared<MixedPrecision>();
  if (request.budget_bits) {
    options.amend_config = [found, bits = *request.budget_bits](trainer::RunConfig& amended,
                                                                const TrainingSources& sources,
                                                                trainer::Collective& collective) {
      search_widths(amended, sources, collective, bits, *found);
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

void check_method(quant::Method method) {
  if (method == quant::Method::none) {
    throw data::InputError("quant.method: none", "nothing would be quantised",
                           "set quant.method to rtn, gptq, awq, hqq, omniquant or block_ap");
  }
  if (!quant::is_post_training(method)) {
    throw data::InputError(
        fmt::format("quant.method: {} is not a post-training method", data::enum_name(method)),
        "ptq takes no training step",
        "set quant.method to rtn, gptq, awq, hqq, omniquant or block_ap, or use 'bitlaw "
        "train' for ste, lsq and e2e_qp");
  }
}

void check_budget_is_number(const std::optional<double>& bits) {
  if (bits && (!std::isfinite(*bits) || *bits <= 0.0)) {
    throw data::InputError(fmt::format("--budget-bits {}", *bits), "it is a number of bits a weight",
                           "give one such as 3.5");
  }
}

int quantise(const Request& request) {
  check_budget_is_number(request.budget_bits);
  trainer::RunConfig config = request.config.read();
  check_method(config.quant.method);
  if (config.model.init == "random") {
    throw data::InputError("model.init: random", "there is nothing worth quantising in random weights",
                           "set model.init to the path of a run or an export, or to teacher");
  }
  config.train.max_steps = 0;
  config.schedule.warmup_steps = 0;
  if (needs_no_samples(config) && !request.budget_bits) {
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
  command->add_option(
      "--budget-bits", arguments->budget_bits,
      "bits a weight, scales included: each layer gets the width, 2, 3, 4 or 8, that a search finds for it");
  add_verbosity(*command, arguments->options.verbosity);
  command->callback([arguments, &action] { action = [arguments] { return quantise(*arguments); }; });
}

}  // namespace bitlaw::launch
