// The memory of a float32 or bfloat16 tensor as the kernels take it: float, or bit patterns.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <type_traits>

namespace bitlaw::distill {

template <class T>
using ElementOf = std::conditional_t<std::is_same_v<T, std::uint16_t>, at::BFloat16, T>;

// T: float, or std::uint16_t for bfloat16.
template <class T>
const T* values_of(const at::Tensor& tensor) {
  return static_cast<const T*>(static_cast<const void*>(tensor.const_data_ptr<ElementOf<T>>()));
}
template <class T>
T* mutable_values_of(const at::Tensor& tensor) {
  return static_cast<T*>(static_cast<void*>(tensor.mutable_data_ptr<ElementOf<T>>()));
}

}  // namespace bitlaw::distill
