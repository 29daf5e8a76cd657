// A checksum over all metadata of a file, behind its HDF5 part, where HDF5 does not look.
//
// HDF5 guards most of its metadata by checksums, but texts lie in a heap without one, and a flipped bit there
// makes HDF5 1.10 read beyond its buffers. So the seal is checked before HDF5 sees a file. Together with the
// tensors' own checksums every byte is covered.
//
//   seal   = { begin u64, end u64 } of each range of bytes that belongs to no tensor, ascending
//            count u64 | hdf5_size u64 | checksum u64 | "bitlawTF"                       all little-endian
//   checksum = XXH64 over the ranges, then over the seal up to here; each seeded by the one before, the first
//   by 0
// Torch-free.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "data/formats/file_io.h"

namespace bitlaw::data::hdf5 {

using ByteRange = std::pair<std::uint64_t, std::uint64_t>;  // first byte, byte behind the last

// Appends the seal at `hdf5_size`, where `file` ends.
void write_seal(const FileHandle& file, const std::vector<ByteRange>& ranges, std::uint64_t hdf5_size,
                const std::filesystem::path& path);
// InputError: no seal, or metadata that differ from what was sealed.
void check_seal(const FileHandle& file, const std::filesystem::path& path);

}  // namespace bitlaw::data::hdf5
