// From a batch of a data set to what a VAR reads and predicts: labels, tokens and teacher-forcing features.
//
// A data set of kind "tokens" holds the tokens; images are tokenised here by the frozen tokenizer. Student
// and teacher are given the same TokenInput, so they see the same dropped labels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "data/batch.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

struct TokenInput {
  at::Tensor labels_B;       // int64, dropped ones are num_classes
  at::Tensor tokens_BL;      // int64: the targets
  at::Tensor var_input_BLE;  // float32 [B, L - p0^2, E]
};

// Labels with each one replaced by `dropped_label` with this probability: a function of (seed, step, sample
// id) alone.
at::Tensor drop_labels(const data::Batch& batch, std::uint64_t seed, double probability,
                       std::int64_t dropped_label);

class TokenPreparer {
 public:
  // Freezes the tokenizer: eval mode, no gradients.
  explicit TokenPreparer(std::shared_ptr<VqTokenizer> tokenizer);

  // In float32 whatever the caller's autocast. Labels are left as they are.
  TokenInput prepare(const data::Batch& batch);
  const VqConfig& config() const { return tokenizer_->config(); }

 private:
  std::shared_ptr<VqTokenizer> tokenizer_;
};

}  // namespace bitlaw::distill
