// The first bytes of an HDF5 file, read without HDF5: tells "not HDF5" from "truncated" with its numbers.
// Torch-free.
#pragma once

#include <filesystem>

#include "data/formats/file_io.h"

namespace bitlaw::data::hdf5 {

// InputError: not an HDF5 file, or shorter than it says.
void check_superblock(const FileHandle& file, const std::filesystem::path& path);

}  // namespace bitlaw::data::hdf5
