// The fused divergence over rows of logits: raw pointers, no LibTorch; SIMD chosen at run time by Highway.
//
// Each row is read twice from memory at most and worked on in buffers of a few rows that stay in cache. Every
// sum is made in one fixed order of 16 interleaved partial sums and without fused multiply-add, so that the
// results are the same bits on every instruction set and however the rows are split.
#pragma once

#include <cstddef>
#include <cstdint>

#include "distill/losses/divergence_spec.h"

namespace bitlaw::distill::kernels {

enum class LogitType { float32, bfloat16 };

// Row-major [rows, vocab], contiguous. teacher may be null for cross_entropy, targets for the others,
// gradient when no gradient is wanted. Targets lie in 0..vocab-1.
struct RowBatch {
  const void* student = nullptr;
  const void* teacher = nullptr;
  void* gradient = nullptr;  // student's type; weights[t] * d(loss_t * temperature^2)/d(student logits)
  const std::int64_t* targets = nullptr;
  const float* weights = nullptr;  // [rows]
  float* per_token = nullptr;      // [rows], loss_t * temperature^2
  std::int64_t vocab = 0;
  LogitType student_type = LogitType::float32;
  LogitType teacher_type = LogitType::float32;
};

// Rows begin <= t < end. Thread-safe for disjoint ranges; allocates its buffers, see workspace_bytes.
void divergence_rows(const DivergenceSpec& spec, const RowBatch& batch, std::int64_t begin, std::int64_t end);

// What one call of divergence_rows allocates.
std::size_t workspace_bytes(const RowBatch& batch);

}  // namespace bitlaw::distill::kernels
