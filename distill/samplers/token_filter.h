// From the logits of one token to the token: top-k, top-p, and a draw by the inverse of the cumulative
// distribution. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bitlaw::distill {

struct TokenFilter {
  std::int64_t top_k = 0;  // keep logits not below the k-th largest (ties stay); 0 or >= V: all
  double top_p = 0.0;      // of what is left, in falling order of probability, keep up to this mass; 0: all
};

// Probabilities of one row of finite logits: softmax over what both filters left, 0 elsewhere. Top-p drops,
// in rising order (ties: lower index first), every entry up to which the cumulative probability is <= 1 -
// top_p, and never the last. Sums are float64. `scratch` is resized as needed and may be reused from row to
// row.
void filter_row(std::span<const float> logits, const TokenFilter& filter, std::span<float> probabilities,
                std::vector<std::int32_t>& scratch);

// The index i at which the cumulative sum of the probabilities first exceeds uniform * (their sum): uniform
// in [0, 1). Never an index of probability 0.
std::int64_t draw(std::span<const float> probabilities, double uniform);

}  // namespace bitlaw::distill
