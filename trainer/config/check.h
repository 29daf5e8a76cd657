// Contradictions between keys, found before anything starts. All at once, as one InputError. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// What a configuration is wanted for. weights_alone: no step is made and no sample is read (import, and
// post-training quantisation that needs none), so data, task, loss and batches are not asked for.
enum class Use { training, weights_alone };

// world_size: ranks that will run. Messages follow the error grammar, one per problem.
std::vector<std::string> config_problems(const RunConfig& config, int world_size, Use use = Use::training);
// Throws InputError with all of them.
void check_config(const RunConfig& config, int world_size, Use use = Use::training);

}  // namespace bitlaw::trainer
