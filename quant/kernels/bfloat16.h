// bfloat16 bit patterns to and from float32: nearest, half to even. Torch-free.
#pragma once

#include <bit>
#include <cstdint>

namespace bitlaw::quant {

inline float to_float(float x) {
  return x;
}
inline float to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

template <class T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline std::uint16_t from_float<std::uint16_t>(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  return x != x ? std::uint16_t{0x7FC0} : static_cast<std::uint16_t>(rounded);
}

}  // namespace bitlaw::quant
