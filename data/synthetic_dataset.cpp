#include "data/synthetic_dataset.h"

#include <cmath>
#include <numbers>
#include <stdexcept>

#include "data/formats/shard_manifest.h"
#include "data/seed.h"

namespace bitlaw::data {
namespace {

std::vector<std::int64_t> shape_of(const SyntheticOptions& options) {
  if (!options.shape.empty()) return options.shape;
  std::int64_t tokens = 0;
  for (const std::int64_t side : options.patch_nums) tokens += side * side;
  return {tokens};
}

std::string content_hash_of(const DatasetInfo& info, std::uint64_t seed) {
  ShardManifest manifest;
  manifest.kind = info.kind;
  manifest.num_classes = info.num_classes;
  manifest.shape = info.shape;
  manifest.tokenizer_hash = info.tokenizer_hash;
  manifest.vocab_size = info.vocab_size;
  manifest.patch_nums = info.patch_nums;
  TensorHash hash = metadata_hash(manifest);
  const std::vector<std::uint64_t> made_from = {seed, static_cast<std::uint64_t>(info.size)};
  hash.merge(samples_hash(made_from, 0));
  return hash.hex();
}

// What the tokens of a class are without noise.
std::int64_t pattern(std::int64_t label, std::size_t position, std::int64_t vocab_size) {
  const std::uint64_t mixed =
      (static_cast<std::uint64_t>(label) * 1000003 + position + 1) * 0x9E3779B97F4A7C15ULL;
  return static_cast<std::int64_t>((mixed >> 33) % static_cast<std::uint64_t>(vocab_size));
}

}  // namespace

SyntheticDataset::SyntheticDataset(const SyntheticOptions& options) : options_(options) {
  info_.kind = options.kind;
  info_.size = options.size;
  info_.num_classes = options.num_classes;
  info_.shape = shape_of(options);
  if (info_.shape.size() != (options.kind == "images" ? 3U : 1U)) {
    throw std::invalid_argument("SyntheticDataset: shape does not fit kind " + options.kind);
  }
  if (options.kind == "tokens") {
    info_.vocab_size = options.vocab_size;
    info_.patch_nums = options.patch_nums;
    info_.tokenizer_hash = options.tokenizer_hash;
  }
  info_.content_hash = content_hash_of(info_, options.seed);
}

void SyntheticDataset::fill_image(std::int64_t index, std::int64_t label, std::span<float> image) const {
  fill_normal({options_.seed, Purpose::synthetic, 0, static_cast<std::uint64_t>(index)}, image);
  const std::int64_t height = info_.shape[1];
  const std::int64_t width = info_.shape[2];
  const double angle = std::numbers::pi * static_cast<double>(label) / static_cast<double>(info_.num_classes);
  const double waves = 1.0 + static_cast<double>(label % 3);
  for (std::size_t i = 0; i < image.size(); ++i) {
    const auto place = static_cast<std::int64_t>(i);
    const double y = static_cast<double>(place / width % height) / static_cast<double>(height);
    const double x = static_cast<double>(place % width) / static_cast<double>(width);
    const double wave =
        std::sin(2.0 * std::numbers::pi * waves * (x * std::cos(angle) + y * std::sin(angle)));
    image[i] = std::clamp(static_cast<float>(0.8 * wave) + 0.1F * image[i], -1.0F, 1.0F);
  }
}

void SyntheticDataset::fill_tokens(std::int64_t index, std::int64_t label,
                                   std::span<std::int64_t> tokens) const {
  const RandomKey key{options_.seed, Purpose::synthetic, 0, static_cast<std::uint64_t>(index)};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto words = philox(key, i);
    const std::uint64_t random = (words[1] * static_cast<std::uint64_t>(info_.vocab_size)) >> 32;
    tokens[i] = words[0] % 4 != 0 ? pattern(label, i, info_.vocab_size) : static_cast<std::int64_t>(random);
  }
}

Batch SyntheticDataset::read(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  std::vector<std::int64_t> shape = info_.shape;
  shape.insert(shape.begin(), count);
  Batch batch;
  batch.labels = at::empty({count}, at::kLong);
  batch.indices = at::empty({count}, at::kLong);
  const bool images = info_.kind == "images";
  (images ? batch.images : batch.tokens) = at::empty(shape, images ? at::kFloat : at::kLong);
  std::size_t elements = 1;
  for (const std::int64_t side : info_.shape) elements *= static_cast<std::size_t>(side);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::int64_t index = indices[i];
    if (index < 0 || index >= info_.size) throw std::out_of_range("SyntheticDataset::read");
    const std::int64_t label = index % info_.num_classes;
    batch.labels.mutable_data_ptr<std::int64_t>()[i] = label;
    batch.indices.mutable_data_ptr<std::int64_t>()[i] = index;
    if (images) {
      fill_image(index, label, {batch.images.mutable_data_ptr<float>() + i * elements, elements});
    } else {
      fill_tokens(index, label, {batch.tokens.mutable_data_ptr<std::int64_t>() + i * elements, elements});
    }
  }
  return batch;
}

}  // namespace bitlaw::data
