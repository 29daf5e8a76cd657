// Contradictions between keys, found before anything starts. All at once, as one InputError. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// What a configuration is wanted for.
enum class Use {
  training,
  calibration,    // post-training quantisation with samples
  width_search,   // the same, and each layer's width is found by a measurement on them
  weights_alone,  // no step and no sample (import, post-training quantisation that looks at no inputs): data,
                  // task, loss and batches are not asked for
};

// world_size: ranks that will run. Messages follow the error grammar, one per problem, with the places of
// keys that were read.
std::vector<std::string> config_problems(const RunConfig& config, int world_size, Use use = Use::training);
// Throws InputError with all of them.
void check_config(const RunConfig& config, int world_size, Use use = Use::training);

}  // namespace bitlaw::trainer
