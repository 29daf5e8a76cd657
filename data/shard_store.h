// The bytes of a folder of shards: opens it, proves that it is whole, and reads samples by index. Torch-free.
//
// When damage is found:
//   - opening: every shard exists with the size of the manifest (always); the checksum of every whole file,
//     when the data set has at most `verify_bytes` bytes (a bit that flipped anywhere refuses the data set);
//   - reading: the checksum of every sample that is handed out (always), so that in a data set too large for
//     the check at opening no damaged sample gets into training either;
//   - `shard_problems`: everything, all problems listed ('bitlaw data verify').
//
// All members may be called from any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/formats/shard_manifest.h"

namespace bitlaw::data {

struct ShardStoreOptions {
  std::int64_t verify_bytes = std::int64_t{1} << 30;
  std::size_t max_open_files = 256;
};

class ShardStore {
 public:
  // InputError: no data set there, a shard missing, of another size, damaged.
  explicit ShardStore(const std::filesystem::path& folder, const ShardStoreOptions& options = {});
  ~ShardStore();
  ShardStore(const ShardStore&) = delete;
  ShardStore& operator=(const ShardStore&) = delete;

  const ShardManifest& manifest() const;

  // Samples as stored, one after another: samples.size() = indices.size() * sample_bytes(manifest());
  // labels.size() = indices.size(). Runs of consecutive indices are one read. InputError: damaged sample.
  // std::out_of_range: no such index.
  void read(std::span<const std::int64_t> indices, std::span<std::byte> samples,
            std::span<std::int64_t> labels) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads everything and compares every checksum; one line a problem, empty when the data set is whole. An
// unreadable manifest is thrown (InputError).
std::vector<std::string> shard_problems(const std::filesystem::path& folder);

}  // namespace bitlaw::data
