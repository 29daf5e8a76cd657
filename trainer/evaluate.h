// Validation: the first N samples, no label drop, a fixed micro batch, float64 sums, spread over the ranks.
#pragma once

#include <functional>

#include "data/dataset.h"
#include "distill/task.h"
#include "quant/statistics.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"
#include "trainer/stop_signal.h"

namespace bitlaw::trainer {

struct EvaluationPlan {
  EvalConfig config;
  Precision precision = Precision::fp32;
  std::function<bool()> asked_to_stop = stop_requested;  // this rank's wish; polled between micro batches
};

// Statistics of the first min(config.samples, size) samples, merged over all ranks (every rank gets the
// whole). Micro batches are the same slices whatever the number of ranks; rank r takes every size-th. The
// model is in eval mode meanwhile. When any rank was asked to stop, all throw StopRequested.
quant::Statistics evaluate(distill::Task& task, const data::Dataset& dataset, const EvaluationPlan& plan,
                           Collective& collective);

}  // namespace bitlaw::trainer
