// Small data sets whose every byte is known, for tests of shards.
#pragma once

#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "data/formats/input_error.h"
#include "data/shard_store.h"
#include "data/shard_writer.h"
#include "tests/support/message_of.h"

namespace bitlaw::test {

inline data::ShardManifest token_description(std::int64_t samples, std::int64_t vocab_size = 64) {
  data::ShardManifest description;
  description.kind = "tokens";
  description.samples = samples;
  description.num_classes = 7;
  description.shape = {5};
  description.source = "a test";
  description.source_hash = "source-1";
  description.tokenizer_hash = "0123456789abcdef";
  description.vocab_size = vocab_size;
  description.patch_nums = {1, 2};
  return description;
}

inline data::ShardManifest image_description(std::int64_t samples) {
  data::ShardManifest description;
  description.kind = "images";
  description.samples = samples;
  description.num_classes = 7;
  description.class_names = {"a", "b", "c", "d", "e", "f", "g"};
  description.shape = {2, 3, 4};
  description.source = "a test";
  description.source_hash = "source-2";
  return description;
}

// Element e of sample i, and its label.
inline std::int64_t element_of(std::int64_t sample, std::int64_t element, std::int64_t range) {
  return (sample * 31 + element * 7 + sample * element) % range;
}
inline std::int32_t label_of(std::int64_t sample) {
  return static_cast<std::int32_t>(sample * 3 % 7);
}

inline std::int64_t range_of(const data::ShardManifest& description) {
  return description.kind == "images" ? 256 : description.vocab_size;
}

// As stored, little-endian.
inline std::vector<std::byte> sample_of(const data::ShardManifest& description, std::int64_t sample) {
  const std::size_t size = data::size_of(data::sample_dtype(description));
  std::vector<std::byte> bytes;
  for (std::int64_t e = 0; e < data::sample_elements(description); ++e) {
    const auto value = static_cast<std::uint64_t>(element_of(sample, e, range_of(description)));
    for (std::size_t b = 0; b < size; ++b) bytes.push_back(static_cast<std::byte>(value >> (8 * b)));
  }
  return bytes;
}

inline void write_shard(const data::ShardWriter& writer, const data::ShardManifest& description,
                        std::int64_t shard) {
  std::vector<std::byte> samples;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < writer.samples_of(shard); ++i) {
    const std::vector<std::byte> sample = sample_of(description, writer.first_of(shard) + i);
    samples.insert(samples.end(), sample.begin(), sample.end());
    labels.push_back(label_of(writer.first_of(shard) + i));
  }
  writer.write(shard, samples, labels);
}

inline data::ShardManifest write_dataset(const std::filesystem::path& out,
                                         const data::ShardManifest& description,
                                         std::int64_t samples_per_shard) {
  data::ShardWriter writer(out, description, samples_per_shard);
  for (std::int64_t shard = 0; shard < writer.shard_count(); ++shard) write_shard(writer, description, shard);
  return writer.commit();
}

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void set_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline void flip_bit(const std::filesystem::path& path, std::size_t byte, int bit) {
  std::string bytes = bytes_of(path);
  bytes.at(byte) = static_cast<char>(bytes.at(byte) ^ (1 << bit));
  set_bytes(path, bytes);
}

}  // namespace bitlaw::test
