// Validation: the first N samples, no label drop, a fixed micro batch, float64 sums, spread over the ranks.
#pragma once

#include "data/dataset.h"
#include "distill/task.h"
#include "quant/statistics.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// Statistics of the first min(config.samples, size) samples, merged over all ranks (every rank gets the
// whole). Micro batches are the same slices whatever the number of ranks; rank r takes every size-th. The
// model is in eval mode meanwhile. Polls stop_requested(); when any rank was asked to stop, all throw
// StopRequested.
quant::Statistics evaluate(distill::Task& task, const data::Dataset& dataset, const EvalConfig& config,
                           Precision precision, Collective& collective);

}  // namespace bitlaw::trainer
