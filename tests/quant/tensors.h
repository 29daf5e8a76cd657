// Tensors for the tests of quant.
#pragma once

#include <ATen/ATen.h>

#include <cstring>

#include "tests/quant/support.h"

namespace bitlaw::quant {

inline at::Tensor normal_tensor(at::IntArrayRef shape, std::uint64_t seed) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  const std::vector<float> values = normal_values(tensor.numel(), seed);
  std::memcpy(tensor.mutable_data_ptr(), values.data(), tensor.nbytes());
  return tensor;
}

// Type, shape and every bit.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().contiguous();
  const at::Tensor y = b.detach().contiguous();
  return x.scalar_type() == y.scalar_type() && x.sizes() == y.sizes() &&
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

}  // namespace bitlaw::quant
