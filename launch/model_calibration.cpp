#include "launch/model_calibration.h"

#include <algorithm>
#include <optional>

#include "data/formats/input_error.h"
#include "distill/block_training.h"
#include "distill/calibration.h"
#include "distill/tasks/var_task.h"
#include "launch/calibration_samples.h"
#include "launch/rank_group.h"
#include "quant/input_observation.h"
#include "quant/input_plan.h"
#include "quant/methods/method_plan.h"
#include "quant/prepare.h"
#include "trainer/statistics_reduction.h"

namespace bitlaw::launch {

namespace {

// EfficientQAT's first phase.
void train_blocks(const TrainingOptions::Start& start, distill::VarTask& task) {
  const CalibrationSamples samples(start.config, *start.sources.train, start.collective);
  const std::int64_t width = block_batch_width(start.config.quant.calibration, samples, start.collective);
  const auto part = [&](std::int64_t i) {
    const auto batch = samples.part_of_batch(i, width);
    return batch ? std::optional(task.training_input(*batch)) : std::nullopt;
  };
  const distill::BlockSamples run{
      (samples.count() + width - 1) / width, part,
      [&](const quant::Statistics& mine) { return trainer::reduce_statistics(mine, start.collective); }};
  start.log.info("block-wise training:\n" +
                 distill::to_string(distill::train_blocks(task.student(), start.config.quant, run)));
}

distill::VarTask& var_task(distill::Task& task) {
  auto* found = dynamic_cast<distill::VarTask*>(&task);
  if (found == nullptr) {
    throw data::InputError("task.kind: tokenizer", "calibration looks at the layers of a VAR",
                           "name a run of kind pretrain or distill");
  }
  return *found;
}

void log_static_inputs(const TrainingOptions::Start& start) {
  const std::string text = quant::static_inputs_text(quant::linear_layers(start.task.model()));
  if (!text.empty()) {
    start.log.info("static scales of inputs:\n" + text);
  }
}

}  // namespace

void check_calibration(const trainer::RunConfig& config, const TrainingSources& sources,
                       trainer::Collective& collective) {
  const bool has_input_scales =
      config.quant.method == quant::Method::e2e_qp && sources.init && !sources.init->activations.empty();
  if (quant::looks_at_samples(config.quant) && !has_input_scales) {
    const CalibrationSamples samples(config, *sources.train, collective);
    if (config.quant.method == quant::Method::block_ap) {
      block_batch_width(config.quant.calibration, samples, collective);
    }
  }
}

void calibrate_model(const TrainingOptions::Start& start) {
  distill::VarTask& task = var_task(start.task);
  task.student().eval();
  if (start.config.quant.method == quant::Method::block_ap) {
    train_blocks(start, task);
    observe_inputs(start);
    return;
  }
  std::optional<CalibrationSamples> samples;
  if (quant::looks_at_samples(start.config.quant)) {
    samples.emplace(start.config, *start.sources.train, start.collective);
  }
  const distill::CalibrationRun run{
      [&](std::int64_t blocks) {
        samples->for_each_batch([&](const data::Batch& batch) { task.run_blocks(batch, blocks); });
      },
      [&](const quant::Statistics& mine) { return trainer::reduce_statistics(mine, start.collective); },
      rank_group(start.collective)};
  start.log.info("calibration:\n" +
                 distill::to_string(distill::calibrate(task.student(), start.config.quant, run)));
  log_static_inputs(start);
}

void observe_inputs(const TrainingOptions::Start& start) {
  distill::VarTask& task = var_task(start.task);
  task.student().eval();
  quant::InputObservation observation(quant::linear_layers(task.student()));
  if (!observation.empty()) {
    const CalibrationSamples samples(start.config, *start.sources.train, start.collective);
    samples.for_each_batch(
        [&](const data::Batch& batch) { task.run_blocks(batch, task.student().shape().depth + 1); });
    observation.adopt(trainer::reduce_statistics(observation.seen(), start.collective));
  }
  log_static_inputs(start);
}

}  // namespace bitlaw::launch
