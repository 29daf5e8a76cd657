// The folder that a command writes into.
#pragma once

#include <filesystem>
#include <string>

#include "quant/containers/container.h"

namespace bitlaw::launch {

// InputError, naming --out, when a model lies in the folder: it would be replaced, or lie beside another.
void refuse_any_model(const std::filesystem::path& folder);
// InputError when the files of `container` would replace a model that is not of run `run`, or lie beside
// files of another container. A later state of the same run may replace the earlier one.
void refuse_another_model(const std::filesystem::path& folder, quant::Container container,
                          const std::string& run);

// Makes it, with its parents, unless it is there; InputError naming --out.
void make_output_folder(const std::filesystem::path& folder);

}  // namespace bitlaw::launch
