#include "data/shard_dataset.h"

#include <algorithm>
#include <memory>

namespace bitlaw::data {
namespace {

// Plain loops instead of tensor operations: loader threads must not start thread pools of LibTorch.
void images_from_bytes(std::span<const std::byte> bytes, float* into) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    into[i] = (static_cast<float>(std::to_integer<std::uint8_t>(bytes[i])) - 127.5F) / 127.5F;
  }
}

template <class Stored>
void widen(std::span<const std::byte> bytes, std::int64_t* into) {
  const auto* from = reinterpret_cast<const Stored*>(bytes.data());
  for (std::size_t i = 0; i < bytes.size() / sizeof(Stored); ++i) into[i] = from[i];
}

void tokens_from_bytes(std::span<const std::byte> bytes, DType dtype, std::int64_t* into) {
  switch (dtype) {
    case DType::uint8:
      return widen<std::uint8_t>(bytes, into);
    case DType::uint16:
      return widen<std::uint16_t>(bytes, into);
    default:
      return widen<std::int32_t>(bytes, into);
  }
}

DatasetInfo info_of(const ShardManifest& manifest) {
  DatasetInfo info;
  info.kind = manifest.kind;
  info.size = manifest.samples;
  info.num_classes = manifest.num_classes;
  info.shape = manifest.shape;
  info.content_hash = manifest.content_hash;
  info.tokenizer_hash = manifest.tokenizer_hash;
  info.vocab_size = manifest.vocab_size;
  info.patch_nums = manifest.patch_nums;
  return info;
}

}  // namespace

ShardDataset::ShardDataset(const std::filesystem::path& folder, const ShardStoreOptions& options)
    : store_(folder, options), info_(info_of(store_.manifest())) {}

Batch ShardDataset::read(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::size_t size = indices.size() * sample_bytes(store_.manifest());
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(size);  // every byte is read into
  const std::span<std::byte> bytes(buffer.get(), size);
  Batch batch;
  batch.labels = at::empty({count}, at::kLong);
  store_.read(indices, bytes, {batch.labels.mutable_data_ptr<std::int64_t>(), indices.size()});
  std::vector<std::int64_t> shape = info_.shape;
  shape.insert(shape.begin(), count);
  if (info_.kind == "images") {
    batch.images = at::empty(shape, at::kFloat);
    images_from_bytes(bytes, batch.images.mutable_data_ptr<float>());
  } else {
    batch.tokens = at::empty(shape, at::kLong);
    tokens_from_bytes(bytes, sample_dtype(store_.manifest()), batch.tokens.mutable_data_ptr<std::int64_t>());
  }
  batch.indices = at::empty({count}, at::kLong);
  std::copy(indices.begin(), indices.end(), batch.indices.mutable_data_ptr<std::int64_t>());
  return batch;
}

}  // namespace bitlaw::data
