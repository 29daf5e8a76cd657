// YAML -> RunConfig, strictly: unknown keys, wrong types and values out of range are collected and thrown as
// one InputError, each with file, line, key and the nearest known name. Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// Later files win over earlier ones, overrides ("optim.lr=1e-4", value as YAML) over all files. A top-level
// key `include: PATH` or a list of paths, relative to the file, is read first.
RunConfig read_config(const std::vector<std::filesystem::path>& files,
                      const std::vector<std::string>& overrides);
RunConfig parse_config(const std::string& yaml, const std::string& origin);  // what writer wrote
std::string nearest_name(const std::string& name,
                         const std::vector<std::string>& known);  // "" when none is near

}  // namespace bitlaw::trainer
