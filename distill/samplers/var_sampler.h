// KV-cached sampling of VAR with classifier-free guidance.
//
// At scale k the guidance is t = cfg * k / (K - 1): logits = (1 + t) conditional - t unconditional; then
// top-k, then top-p on what is left, then a draw by the inverse of the cumulative distribution from a
// counter-based uniform number keyed by (seed, sample id, token position): the same picture whatever the
// batch split.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

struct SamplerSettings {
  double cfg = 1.0;
  std::int64_t top_k = 0;  // 0: off
  double top_p = 0.0;      // 0: off
  std::uint64_t seed = 0;
};

// Probabilities [.., V] after top-k (ties with the k-th stay) and top-p (renormalised over what top-k left).
at::Tensor filtered_probabilities(const at::Tensor& logits, std::int64_t top_k, double top_p);

struct SampleResult {
  at::Tensor tokens;  // int64 [B, L]
  at::Tensor images;  // float32 [B, C, H, W] in [0, 1]
};
// Called after each scale with (scale, guided logits, tokens of the scale); may be empty.
using ScaleObserver = std::function<void(std::int64_t, const at::Tensor&, const at::Tensor&)>;

SampleResult sample(Var& model, VqTokenizer& tokenizer, const at::Tensor& labels_B,
                    const SamplerSettings& settings, std::int64_t first_sample_id = 0,
                    const ScaleObserver& observer = {});

}  // namespace bitlaw::distill
