#include "data/shard_store.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "data/formats/checksum.h"
#include "data/formats/file_io.h"
#include "data/formats/input_error.h"
#include "data/shard_check.h"

namespace bitlaw::data {
namespace {

// At most `limit` files that nobody reads at the moment are kept open; the one used longest ago is closed.
class OpenFiles {
 public:
  explicit OpenFiles(std::size_t limit) : limit_(std::max<std::size_t>(limit, 1)) {}

  std::shared_ptr<const FileHandle> get(std::size_t shard, const std::filesystem::path& path) {
    const std::lock_guard lock(mutex_);
    if (const auto found = places_.find(shard); found != places_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return recent_.front().second;
    }
    auto handle = std::make_shared<const FileHandle>(open_for_reading(path));
    recent_.emplace_front(shard, handle);
    places_[shard] = recent_.begin();
    if (recent_.size() > limit_) {
      places_.erase(recent_.back().first);
      recent_.pop_back();
    }
    return handle;
  }

 private:
  using Entry = std::pair<std::size_t, std::shared_ptr<const FileHandle>>;
  const std::size_t limit_;
  std::mutex mutex_;
  std::list<Entry> recent_;
  std::unordered_map<std::size_t, std::list<Entry>::iterator> places_;
};

struct Shard {
  std::filesystem::path path;
  std::int64_t first = 0;  // index of its first sample
  std::once_flag once;
  ShardIndex index;  // filled at the first touch
};

}  // namespace

struct ShardStore::Impl {
  Impl(const std::filesystem::path& folder, std::size_t max_open_files)
      : manifest(read_manifest(folder)),
        bytes_per_sample(sample_bytes(manifest)),
        shards(manifest.shards.size()),
        files(max_open_files) {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      shards[i].path = folder / manifest.shards[i].file;
      shards[i].first = first;
      first += manifest.shards[i].samples;
    }
  }

  std::size_t shard_of(std::int64_t index) const {
    if (index < 0 || index >= manifest.samples) {
      throw std::out_of_range("sample " + std::to_string(index) + " of " + std::to_string(manifest.samples));
    }
    const auto after =
        std::upper_bound(shards.begin(), shards.end(), index,
                         [](std::int64_t value, const Shard& shard) { return value < shard.first; });
    return static_cast<std::size_t>(after - shards.begin()) - 1;
  }

  const ShardIndex& index_of(std::size_t shard_number) {
    Shard& shard = shards[shard_number];
    std::call_once(shard.once,
                   [&] { shard.index = read_shard_index(shard.path, manifest, shard_number, shard.first); });
    return shard.index;
  }

  // `count` samples of one shard from its sample `offset`, in one read.
  void read_run(std::size_t shard_number, std::int64_t offset, std::span<std::byte> samples,
                std::span<std::int64_t> labels) {
    const ShardIndex& index = index_of(shard_number);
    const Shard& shard = shards[shard_number];
    const auto begin = static_cast<std::size_t>(offset);
    read_fully(*files.get(shard_number, shard.path), samples, index.data_offset + begin * bytes_per_sample,
               shard.path);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::int32_t label = index.labels[begin + i];
      const auto found = sample_checksum(samples.subspan(i * bytes_per_sample, bytes_per_sample), label);
      if (found != index.checksums[begin + i]) {
        throw damaged_sample(shard.path, shard.first + offset + static_cast<std::int64_t>(i), found,
                             index.checksums[begin + i]);
      }
      labels[i] = label;
    }
  }

  const ShardManifest manifest;
  const std::size_t bytes_per_sample;
  std::vector<Shard> shards;
  OpenFiles files;
};

ShardStore::ShardStore(const std::filesystem::path& folder, const ShardStoreOptions& options)
    : impl_(std::make_unique<Impl>(folder, options.max_open_files)) {
  const ShardManifest& manifest = impl_->manifest;
  std::int64_t total = 0;
  for (const ShardEntry& shard : manifest.shards) {
    check_shard_size(folder / shard.file, shard);
    total += shard.bytes;
  }
  if (total > options.verify_bytes) return;
  for (const ShardEntry& shard : manifest.shards) check_shard_bytes(folder / shard.file, shard);
}

ShardStore::~ShardStore() = default;

const ShardManifest& ShardStore::manifest() const {
  return impl_->manifest;
}

void ShardStore::read(std::span<const std::int64_t> indices, std::span<std::byte> samples,
                      std::span<std::int64_t> labels) const {
  const std::size_t bytes = impl_->bytes_per_sample;
  if (samples.size() != indices.size() * bytes || labels.size() != indices.size()) {
    throw std::invalid_argument("ShardStore::read: the buffers do not fit the indices");
  }
  for (std::size_t begin = 0; begin < indices.size();) {
    const std::size_t shard = impl_->shard_of(indices[begin]);
    const std::int64_t offset = indices[begin] - impl_->shards[shard].first;
    const auto left_in_shard = static_cast<std::size_t>(impl_->manifest.shards[shard].samples - offset);
    std::size_t count = 1;
    while (begin + count < indices.size() && count < left_in_shard &&
           indices[begin + count] == indices[begin] + static_cast<std::int64_t>(count)) {
      ++count;
    }
    impl_->read_run(shard, offset, samples.subspan(begin * bytes, count * bytes),
                    labels.subspan(begin, count));
    begin += count;
  }
}

}  // namespace bitlaw::data
