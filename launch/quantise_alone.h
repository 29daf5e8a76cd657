// Post-training quantisation of weights that need no sample: no data set, no tokenizer, no teacher, any
// family.
#pragma once

#include "launch/training_run.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

// Whether `config` names no data, and neither its method nor its transforms nor scales of inputs need a
// sample.
bool needs_no_samples(const trainer::RunConfig& config);

// Leaves the run folder that a training of no steps would leave, without an evaluation. Called by every rank;
// the ranks are found here. Of `options` dry_run and verbosity count. Returns the exit code. InputError: a
// configuration of this use with problems, model.init that is no model of this geometry or is quantised to
// other specs, a finished run whose checkpoint is damaged. trainer::StopRequested on all ranks, with nothing
// saved, when one was asked to stop.
int quantise_alone(trainer::RunConfig config, const TrainingOptions& options);

}  // namespace bitlaw::launch
