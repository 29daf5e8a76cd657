// Contradictions between keys, found before anything starts. All at once, as one InputError. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// world_size: ranks that will run. Messages follow the error grammar, one per problem.
std::vector<std::string> config_problems(const RunConfig& config, int world_size);
void check_config(const RunConfig& config, int world_size);  // throws InputError with all of them

}  // namespace bitlaw::trainer
