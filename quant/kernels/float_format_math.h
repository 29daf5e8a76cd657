// One number in a small floating-point format: rounding and bit pattern, in float32. Every kernel variant
// does these operations in this order, so that all of them give the same bits. Torch-free.
//
// With p = 2^floor(log2 |x|), at least the smallest normal number, numbers of the format near x are multiples
// of step = p * 2^-m. Adding c = p * 2^(23-m), whose own last bit is worth one step, rounds to such a
// multiple, half to an even one; taking c away again is exact. With mantissa bits an even multiple has an
// even mantissa. Without (e3m0, e2m0) the multiples are 1 and 2, so a tie goes up, but for half of the
// smallest number, which becomes 0.
#pragma once

#include <bit>
#include <cstdint>

namespace bitlaw::quant {

// What rounding needs to know about a format.
struct FloatElement {
  float largest = 0.0F;     // magnitudes above it saturate
  float min_normal = 0.0F;  // 2^(1 - bias)
  float magic = 0.0F;       // 2^(23 - m)
  float per_step = 0.0F;    // 2^(bias - 1 + m): a subnormal number times this is its mantissa
  int mantissa_bits = 0;
  std::uint32_t rebias = 0;    // (127 - bias) << m, between float32's exponents and those of the format
  std::uint32_t sign_bit = 0;  // of a bit pattern
};

// The nearest magnitude of the format; NaN stays NaN.
inline float round_magnitude(float magnitude, const FloatElement& element) {
  const float inside = magnitude > element.largest ? element.largest : magnitude;
  const float power = std::bit_cast<float>(std::bit_cast<std::uint32_t>(inside) & 0x7F800000U);
  const float base = (power < element.min_normal ? element.min_normal : power) * element.magic;
  return (inside + base) - base;
}

// The bit pattern, without sign, of a magnitude that the format holds.
inline std::uint32_t pattern_of_magnitude(float magnitude, const FloatElement& element) {
  if (magnitude < element.min_normal) {
    return static_cast<std::uint32_t>(magnitude * element.per_step);
  }
  return (std::bit_cast<std::uint32_t>(magnitude) >> (23 - element.mantissa_bits)) - element.rebias;
}

}  // namespace bitlaw::quant
