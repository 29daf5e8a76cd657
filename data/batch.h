// What a loader hands to a task: one rank's share of one micro batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitlaw::data {

// B samples. A tensor that the data set does not hold is undefined.
struct Batch {
  at::Tensor sample_ids;  // int64 [B]: place in the stream, step * global batch + offset: a logical id, never
                          // a rank's
  at::Tensor indices;     // int64 [B]: index in the data set
  at::Tensor images;      // float32 [B, C, H, W] in [-1, 1]
  at::Tensor tokens;      // int64 [B, L]
  at::Tensor labels;      // int64 [B]
  std::int64_t step = 0;

  std::int64_t size() const { return labels.defined() ? labels.size(0) : 0; }
};

}  // namespace bitlaw::data
