// One training run from configuration to the finished mark: folder, data, task, resume, trainer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "distill/task.h"
#include "launch/training_sources.h"
#include "trainer/comm/collective.h"
#include "trainer/config/check.h"
#include "trainer/config/run_config.h"
#include "trainer/log.h"

namespace bitlaw::launch {

struct TrainingOptions {
  std::string resume = "auto";  // auto | never | path of a checkpoint
  std::int64_t stop_at = -1;
  bool dry_run = false;
  trainer::Verbosity verbosity = trainer::Verbosity::normal;
  trainer::Use use = trainer::Use::training;
  // Called by every rank alike once the sources are read and before the run's folder is touched, in a dry run
  // too: throws InputError for what before_first_step would refuse and can be known by then.
  std::function<void(const trainer::RunConfig&, const TrainingSources&, trainer::Collective&)> check_sources;
  // Called by every rank alike after that, before anything is made of the configuration; may add to its quant
  // section.
  std::function<void(trainer::RunConfig&, const TrainingSources&, trainer::Collective&)> amend_config;
  // Called once by every rank before the first step of a run that is not resumed, in a run folder that is
  // ours; may change the task's model, alike on all ranks.
  struct Start {
    const trainer::RunConfig& config;
    const TrainingSources& sources;
    distill::Task& task;
    trainer::Collective& collective;
    trainer::Log& log;
  };
  std::function<void(const Start&)> before_first_step;
};

// Called by every rank; the ranks are found here. Returns the exit code: 0 finished, 75 stopped after saving.
int train(trainer::RunConfig config, const TrainingOptions& options);

}  // namespace bitlaw::launch
