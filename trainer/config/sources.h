// The merged tree of configuration files, what they include, and overrides of the command line. Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/config/yaml_tree.h"

namespace bitlaw::trainer {

// Later files win. Includes of a file are read before it, in their order, relative to its folder; one that
// includes itself is a problem.
YamlTree load_files(const std::vector<std::filesystem::path>& files, Problems& problems);

// "optim.lr=1e-4"; the value is YAML. A number in the path is an element of a list, one past the end appends:
// "quant.overrides.0.weights.num_bits=4".
void apply_override(YamlTree& tree, const std::string& assignment, Problems& problems);

}  // namespace bitlaw::trainer
