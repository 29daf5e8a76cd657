// One training run from configuration to the finished mark: folder, data, task, resume, trainer.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/config/run_config.h"
#include "trainer/log.h"

namespace bitlaw::launch {

struct TrainingOptions {
  std::string resume = "auto";  // auto | never | path of a checkpoint
  std::int64_t stop_at = -1;
  bool dry_run = false;
  trainer::Verbosity verbosity = trainer::Verbosity::normal;
};

// Called by every rank; the ranks are found here. Returns the exit code: 0 finished, 75 stopped after saving.
int train(trainer::RunConfig config, const TrainingOptions& options);

}  // namespace bitlaw::launch
