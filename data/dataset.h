// Where samples come from. Implementations are immutable after construction: any thread may read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/batch.h"

namespace bitlaw::data {

struct DatasetInfo {
  std::string kind;       // "images" or "tokens"
  std::int64_t size = 0;  // samples
  std::int64_t num_classes = 0;
  std::vector<std::int64_t> shape;       // of one sample: [C, H, W] or [L]
  std::string content_hash;              // of all shards: part of a run's identity
  std::string tokenizer_hash;            // tokens only: parameter_hash of the tokenizer they came from
  std::int64_t vocab_size = 0;           // tokens only
  std::vector<std::int64_t> patch_nums;  // tokens only: sides of the scales
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual const DatasetInfo& info() const = 0;
  // Samples by index, untransformed; sample_ids and step of the batch are left to the loader.
  virtual Batch read(std::span<const std::int64_t> indices) const = 0;
};

}  // namespace bitlaw::data
