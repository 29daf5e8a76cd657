// Post-training quantisation of a run's model on samples of its training set, spread over the ranks.
#pragma once

#include "launch/training_run.h"

namespace bitlaw::launch {

// Samples: the first quant.calibration.samples of the training stream's first epoch, in micro batches of
// eval.micro_batch_size of which rank r takes every size-th. Logs a table of layers. InputError: fewer
// samples than that, or what distill/calibration.h says; trainer::StopRequested.
void calibrate_model(const TrainingOptions::Start& start);

}  // namespace bitlaw::launch
