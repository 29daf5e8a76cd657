// A folder of shards as a Dataset. How and when damage is found: shard_store.h.
#pragma once

#include <filesystem>

#include "data/dataset.h"
#include "data/shard_store.h"

namespace bitlaw::data {

class ShardDataset : public Dataset {
 public:
  // InputError: no data set there, or a missing, truncated or damaged shard.
  explicit ShardDataset(const std::filesystem::path& folder, const ShardStoreOptions& options = {});

  const DatasetInfo& info() const override { return info_; }
  // images: (byte - 127.5) / 127.5. InputError: damaged sample; std::out_of_range.
  Batch read(std::span<const std::int64_t> indices) const override;
  const ShardManifest& manifest() const { return store_.manifest(); }

 private:
  ShardStore store_;
  DatasetInfo info_;
};

}  // namespace bitlaw::data
