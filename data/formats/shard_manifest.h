// What a folder of shards holds: manifest.json, the file that is written last and makes the folder a data
// set.
//
// JSON object, keys: format "bitlaw-shards", version 1, kind "images" | "tokens", samples, num_classes,
// class_names (may be empty), shape of one sample ([C, H, W] or [L]), source and source_hash (where it came
// from), content_hash, for tokens tokenizer_hash, vocab_size, patch_nums; shards: array of {file, samples,
// bytes, checksum (of the whole file, tensor_checksum), content_hash}; manifest_checksum (tensor_checksum of
// the object without this key, dumped without white space and with sorted keys).
//
// Content hashes are TensorHash sums over (index of the sample in the data set, checksum of the sample), plus
// for the whole data set the metadata that gives the bytes their meaning. They do not depend on how samples
// are spread over shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/tensor_file.h"
#include "data/formats/tensor_hash.h"

namespace bitlaw::data {

struct ShardEntry {
  std::string file;  // name inside the folder
  std::int64_t samples = 0;
  std::int64_t bytes = 0;    // of the file
  std::string checksum;      // of the file
  std::string content_hash;  // of its samples
};

struct ShardManifest {
  static constexpr int kVersion = 1;
  static constexpr const char* kFileName = "manifest.json";

  std::string kind;  // "images" or "tokens"
  std::int64_t samples = 0;
  std::int64_t num_classes = 0;
  std::vector<std::string> class_names;
  std::vector<std::int64_t> shape;
  std::string source;
  std::string source_hash;
  std::string content_hash;
  std::string tokenizer_hash;
  std::int64_t vocab_size = 0;
  std::vector<std::int64_t> patch_nums;
  std::vector<ShardEntry> shards;
};

// How a sample is stored: uint8 for images; for tokens the smallest of uint8, uint16, int32 that holds every
// code.
DType sample_dtype(const ShardManifest& manifest);
std::int64_t sample_elements(const ShardManifest& manifest);
std::size_t sample_bytes(const ShardManifest& manifest);

// The part of content_hash that comes from kind, shape, classes, tokenizer, vocabulary and scales.
TensorHash metadata_hash(const ShardManifest& manifest);
// The part of samples [first, first + checksums.size()).
TensorHash samples_hash(std::span<const std::uint64_t> checksums, std::int64_t first);

// Checksum of one sample and its label.
std::uint64_t sample_checksum(std::span<const std::byte> sample, std::int32_t label);

std::string manifest_text(const ShardManifest& manifest);
// InputError, naming `origin` (the file): not JSON, wrong types, contradictions, another version, altered.
ShardManifest parse_manifest(const std::string& text, const std::string& origin);
// InputError: no such folder, no manifest in it.
ShardManifest read_manifest(const std::filesystem::path& folder);

}  // namespace bitlaw::data
