// The buffers in which the fused divergence works on one row; one set a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "distill/losses/kernels/divergence_rows.h"

namespace bitlaw::distill::kernels {

// Each buffer holds the padded row and 16 values more, 64-byte aligned. student, teacher and gradient are
// null where the caller's own memory serves.
class RowBuffers {
 public:
  explicit RowBuffers(const RowBatch& batch);

  float* first = nullptr;
  float* second = nullptr;
  float* student = nullptr;
  float* teacher = nullptr;
  float* gradient = nullptr;
  std::uint8_t* members = nullptr;  // one byte a class, the widest layout of a set

  static std::size_t bytes(const RowBatch& batch);

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace bitlaw::distill::kernels
