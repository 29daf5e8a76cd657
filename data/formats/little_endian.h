// Numbers from and to the little-endian bytes of files, whatever the machine's order. Torch-free.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace bitlaw::data {

namespace little_endian {
template <std::size_t size>
using Unsigned =
    std::conditional_t<size == 1, std::uint8_t,
                       std::conditional_t<size == 2, std::uint16_t,
                                          std::conditional_t<size == 4, std::uint32_t, std::uint64_t>>>;
}  // namespace little_endian

// The first sizeof(T) bytes, of which there must be as many.
template <typename T>
T from_little_endian(std::span<const std::byte> bytes) {
  using Bits = little_endian::Unsigned<sizeof(T)>;
  std::uint64_t value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    value = value << 8U | static_cast<std::uint64_t>(bytes[i]);
  }
  return std::bit_cast<T>(static_cast<Bits>(value));
}

template <typename T>
std::array<std::byte, sizeof(T)> to_little_endian(T number) {
  std::uint64_t value = std::bit_cast<little_endian::Unsigned<sizeof(T)>>(number);
  std::array<std::byte, sizeof(T)> bytes{};
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(value & 255U);
    value >>= 8U;
  }
  return bytes;
}

}  // namespace bitlaw::data
