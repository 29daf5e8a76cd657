// Which files of a folder belong to models, and to which container. Torch-free.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "quant/containers/container.h"

namespace bitlaw::quant {

inline constexpr const char* kNativeFile = "model.h5";  // of a folder

// Those that write_model leaves, in the order in which they are reported.
std::vector<std::string> file_names(Container container);

// The files of `folder` that the reader of some container looks at (tensors and configurations), sorted by
// name. Empty when the folder is not there.
std::vector<std::string> model_files(const std::filesystem::path& folder);

// InputError when files of more than one container lie in `folder`: nothing says which one is meant.
void require_one_container(const std::filesystem::path& folder);

}  // namespace bitlaw::quant
