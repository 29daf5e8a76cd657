// Samples out of nothing, for tests and benchmarks: a function of (seed, index), with something to learn.
//
// images: a diagonal wave whose direction and period depend on the class, plus noise. tokens: with
// probability 3/4 a value that depends on class and position alone, else uniform: cross entropy of a perfect
// model is about 0.56 + 0.25 ln V nats.
#pragma once

#include "data/dataset.h"

namespace bitlaw::data {

struct SyntheticOptions {
  std::string kind = "tokens";  // or "images"
  std::int64_t size = 1024;
  std::int64_t num_classes = 10;
  std::vector<std::int64_t> shape;  // [L] or [C, H, W]; tokens: made from patch_nums when empty
  std::int64_t vocab_size = 64;     // tokens
  std::vector<std::int64_t> patch_nums;
  std::string tokenizer_hash;
  std::uint64_t seed = 0;
};

class SyntheticDataset : public Dataset {
 public:
  explicit SyntheticDataset(const SyntheticOptions& options);
  const DatasetInfo& info() const override { return info_; }
  Batch read(std::span<const std::int64_t> indices) const override;

 private:
  void fill_image(std::int64_t index, std::int64_t label, std::span<float> image) const;
  void fill_tokens(std::int64_t index, std::int64_t label, std::span<std::int64_t> tokens) const;

  SyntheticOptions options_;
  DatasetInfo info_;
};

}  // namespace bitlaw::data
