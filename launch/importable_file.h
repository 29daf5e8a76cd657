// Which files can be an import at all: full-precision weights of one file.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "distill/models/load_weights.h"

namespace bitlaw::launch {

using Sections = std::map<std::string, distill::WeightShapes>;

// By name and first bytes. InputError for a folder, a model that is quantised already (naming the command
// that reads it), a file of bitlaw itself.
void require_importable(const std::filesystem::path& file);
// By the names of its tensors. InputError for codes and scales instead of weights, naming the command.
void require_full_precision(const std::filesystem::path& file, const Sections& sections);

}  // namespace bitlaw::launch
