// RunConfig -> YAML (complete, all defaults shown), and the reference documentation of every key. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

std::string write_config(const RunConfig& config);
// The same of some keys: "model" is all keys of that section, "tokenizer.from" one of them.
std::string write_config(const RunConfig& config, const std::vector<std::string>& keys);
std::string config_reference();  // Markdown: docs/config.md
// The part of a configuration that decides a run's bits, as YAML: without run.name/dir/device, paths,
// parallel, checkpoint, log, eval, data.workers, the micro batch and max_steps.
std::string identity_yaml(const RunConfig& config);

}  // namespace bitlaw::trainer
