// The folder that a command writes into.
#pragma once

#include <filesystem>

namespace bitlaw::launch {

// Makes it, with its parents, unless it is there; InputError naming --out.
void make_output_folder(const std::filesystem::path& folder);

}  // namespace bitlaw::launch
