// The checks of one part of a configuration each; check.cpp puts them together. Torch-free.
#pragma once

#include "trainer/config/check.h"
#include "trainer/config/problems.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// run, data, tokenizer, model.init, teacher
void check_sources(const RunConfig& config, Use use, Problems& problems);
void check_weights_alone(const RunConfig& config, Problems& problems);  // name and device, no steps
void check_model(const RunConfig& config, Problems& problems);          // geometry of the network
void check_distill(const RunConfig& config, Problems& problems);        // loss and its keys
void check_quant(const RunConfig& config, Problems& problems);          // specs and rules
// keys of quant.calibration that nothing reads
void check_calibration(const RunConfig& config, Use use, Problems& problems);
void check_schedule(const RunConfig& config, int world_size, Problems& problems);  // batch, steps, optimiser

}  // namespace bitlaw::trainer
