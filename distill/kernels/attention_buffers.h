// Work space of attention_bf16: operands of one head in the layouts that the products read, and one chunk of
// rows of scores. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "distill/kernels/attention_bf16.h"

namespace bitlaw::distill::kernels {

inline constexpr std::int64_t kChunkRows = 64;

// "paired": see bf16_instructions.h. Lp: L rounded up to 16; Lw: words of L / 2 pairs, rounded up to 16.
struct AttentionSpace::Buffers {
  std::int64_t padded_tokens = 0;  // Lp
  std::int64_t padded_pairs = 0;   // Lw

  std::vector<std::uint16_t> queries, keys;       // [L, D]: as they are multiplied
  std::vector<float> query_lengths, key_lengths;  // [L]: 1 / length
  std::vector<std::uint32_t> keys_by_dim;         // paired K^T [D / 2, Lp]
  std::vector<std::uint32_t> value_pairs;         // paired V [L / 2, D]
  std::vector<float> scores;                      // [rows, Lp]
  std::vector<std::uint16_t> weights;             // [1 + rows, Lp]: P
  std::vector<float> output;                      // [rows, D]: O, in backward dQ

  // backward
  std::vector<std::uint32_t> key_pairs;         // paired K [L / 2, D]
  std::vector<std::uint32_t> values_by_dim;     // paired V^T [D / 2, Lp]
  std::vector<std::uint32_t> pairs;             // [L / 2, D], on the way to the next two
  std::vector<std::uint32_t> queries_by_dim;    // Q^T as operand A: [D, Lw] words
  std::vector<std::uint32_t> grad_out_by_dim;   // dO^T likewise
  std::vector<float> grad_weights;              // dP [rows, Lp]
  std::vector<std::uint16_t> grad_scores;       // [1 + rows, Lp]: dS
  std::vector<std::uint32_t> weight_pairs;      // paired P [(1 + rows) / 2, Lp]
  std::vector<std::uint32_t> grad_score_pairs;  // paired dS
  std::vector<float> grad_keys_by_dim;          // dK^T [D, Lp]
  std::vector<float> grad_values_by_dim;        // dV^T [D, Lp]
};

}  // namespace bitlaw::distill::kernels
