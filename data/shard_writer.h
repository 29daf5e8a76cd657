// Makes a folder of shards that is either whole or not there. Torch-free.
//
// Shard i holds samples [i * samples_per_shard, ...), so any thread or rank can write any shard. Everything
// is written into OUT.tmp-<tag>; commit() checks that every shard is there, writes the manifest, flushes, and
// renames the folder to OUT. Destroyed without commit() the temporary folder is removed; one that a killed
// program left behind is removed by the next writer of the same OUT (a lock tells that its owner is gone).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "data/formats/file_io.h"
#include "data/formats/shard_manifest.h"

namespace bitlaw::data {

// Samples of a shard when the user names no number: 2048, fewer when that is more than 64 MiB.
std::int64_t default_samples_per_shard(const ShardManifest& description);

// True: `out` holds a whole data set made from the same source with the same settings (equal source_hash);
// nothing is left to do. False: there is nothing. InputError: something else is there, it is damaged, or
// `out` lies inside a data set.
bool already_made(const std::filesystem::path& out, const std::string& source_hash);

class ShardWriter {
 public:
  // description: a manifest without content_hash and shards (samples says how many there will be).
  // Owner: makes the temporary folder; its tag is the process id. InputError: unwritable, no samples.
  ShardWriter(const std::filesystem::path& out, const ShardManifest& description,
              std::int64_t samples_per_shard);
  // Another rank: writes into the owner's folder. Its commit() may not be called.
  ShardWriter(const std::filesystem::path& out, const ShardManifest& description,
              std::int64_t samples_per_shard, std::int64_t owner_tag);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  std::int64_t tag() const { return tag_; }
  std::int64_t shard_count() const;
  std::int64_t first_of(std::int64_t shard) const;
  std::int64_t samples_of(std::int64_t shard) const;

  // All samples of one shard, as stored (sample_dtype), and their labels in [0, num_classes). Different
  // shards may be written by several threads at once.
  void write(std::int64_t shard, std::span<const std::byte> samples,
             std::span<const std::int32_t> labels) const;
  // The finished data set. Owner only, after every rank has written its shards. InputError: shard missing.
  ShardManifest commit();

 private:
  std::filesystem::path shard_path(std::int64_t shard) const;

  const std::filesystem::path out_;
  const ShardManifest description_;
  const std::int64_t samples_per_shard_;
  const std::int64_t tag_;
  const std::filesystem::path temporary_;
  FileHandle lock_;  // of the owner: shows that it lives
};

}  // namespace bitlaw::data
