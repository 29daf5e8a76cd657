// What a quantised layer does to its input before the product: multiply each channel, then rotate blocks of
// channels (quant/methods/hadamard.h). The weight was divided and rotated to match.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitlaw::quant {

struct InputTransform {
  at::Tensor multiplier;            // float32 [in]; undefined: none
  std::int64_t hadamard_block = 0;  // 0: none

  bool is_identity() const { return !multiplier.defined() && hadamard_block == 0; }
  // In float32, then rounded to x's type. [..., in]
  at::Tensor apply(const at::Tensor& x) const;
  // The weight for the untransformed input that does the same as `weight` for the transformed one, up to
  // rounding: W R diag(multiplier). float32 [out, in].
  at::Tensor undone(const at::Tensor& weight) const;
};

}  // namespace bitlaw::quant
