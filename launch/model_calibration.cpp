#include "launch/model_calibration.h"

#include <optional>

#include "data/formats/input_error.h"
#include "distill/calibration.h"
#include "distill/tasks/var_task.h"
#include "launch/calibration_samples.h"
#include "quant/methods/method_plan.h"
#include "trainer/statistics_reduction.h"

namespace bitlaw::launch {

void calibrate_model(const TrainingOptions::Start& start) {
  auto* task = dynamic_cast<distill::VarTask*>(&start.task);
  if (task == nullptr) {
    throw data::InputError("task.kind: tokenizer", "post-training methods walk over the layers of a VAR",
                           "name a run of kind pretrain or distill");
  }
  task->student().eval();
  std::optional<CalibrationSamples> samples;
  if (quant::needs_calibration(start.config.quant)) {
    samples.emplace(start.config, *start.sources.train, start.collective);
  }
  const distill::CalibrationRun run{
      [&](std::int64_t blocks) {
        samples->for_each_batch([&](const data::Batch& batch) { task->run_blocks(batch, blocks); });
      },
      [&](const quant::Statistics& mine) { return trainer::reduce_statistics(mine, start.collective); }};
  start.log.info("calibration:\n" +
                 distill::to_string(distill::calibrate(task->student(), start.config.quant, run)));
}

}  // namespace bitlaw::launch
