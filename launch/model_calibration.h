// What is done to a run's model before its first step on samples of its training set, spread over the ranks:
// post-training quantisation, and static scales of inputs.
#pragma once

#include "launch/training_run.h"

namespace bitlaw::launch {

// What the two below would refuse and can be known without a model: for TrainingOptions::check_sources.
// InputError: fewer samples than asked for, or more ranks than samples or than a batch of block_ap has.
void check_calibration(const trainer::RunConfig& config, const TrainingSources& sources,
                       trainer::Collective& collective);

// Samples: the first quant.calibration.samples of the training stream's first epoch, in micro batches of
// eval.micro_batch_size of which rank r takes every size-th. Logs a table of layers. InputError: fewer
// samples than that, or what distill/calibration.h says; trainer::StopRequested.
void calibrate_model(const TrainingOptions::Start& start);

// For a training with static scales of inputs: one pass over the same samples, weights quantised, inputs not;
// none where all scales came with the codes. All ranks have the same scales afterwards. The same errors.
void observe_inputs(const TrainingOptions::Start& start);

}  // namespace bitlaw::launch
