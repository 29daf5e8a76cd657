// Proofs that a shard file is what the manifest says. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/shard_manifest.h"

namespace bitlaw::data {

// Exists, has the size of the manifest. InputError.
void check_shard_size(const std::filesystem::path& path, const ShardEntry& shard);
// The checksum of the whole file is the manifest's. InputError.
void check_shard_bytes(const std::filesystem::path& path, const ShardEntry& shard);
std::uint64_t file_checksum(const std::filesystem::path& path);

// What reading single samples of a shard needs.
struct ShardIndex {
  std::uint64_t data_offset = 0;  // of the first sample in the file
  std::vector<std::int32_t> labels;
  std::vector<std::uint64_t> checksums;  // of each sample
};

// Opens the shard and checks tensors, shapes, labels and its content hash; the samples are not read.
// InputError.
ShardIndex read_shard_index(const std::filesystem::path& path, const ShardManifest& manifest,
                            std::size_t shard_number, std::int64_t first_sample);

InputError damaged_sample(const std::filesystem::path& path, std::int64_t sample, std::uint64_t found,
                          std::uint64_t expected);

}  // namespace bitlaw::data
