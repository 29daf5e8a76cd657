// x^p of float32 by additions, multiplications and one division, so that compilers make vector code of it and
// the result does not depend on a C library. Torch-free.
//
//   x = 2^e m, m in [sqrt(1/2), sqrt(2))      ln m = 2 artanh(t), t = (m - 1) / (m + 1), |t| <= 0.172
//   p log2 x = n + r, |r| <= 1/2              2^r = the Taylor polynomial of degree 7
// The relative error is below 1e-6 for |p log2 x| <= 8, and grows in proportion beyond.
#pragma once

#include <bit>
#include <cstdint>

namespace bitlaw::quant {

// x >= 0, finite; |p log2 x| <= 120. 0^p is a very small number instead of 0.
inline float power_of(float x, float p) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2 = 0.693147181F;
  constexpr float kMagic = 0x1.8p23F;             // x + kMagic - kMagic rounds |x| < 2^22 to an integer
  constexpr std::int32_t kSqrtHalf = 0x3F3504F3;  // the bits of sqrt(1/2)
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t exponent = (bits - kSqrtHalf) >> 23;
  const float m = std::bit_cast<float>(bits - exponent * (1 << 23));
  const float t = (m - 1.0F) / (m + 1.0F);
  const float tt = t * t;
  const float series = 1.0F + tt * (1.0F / 3 + tt * (1.0F / 5 + tt * (1.0F / 7 + tt * (1.0F / 9))));
  const float y = p * (static_cast<float>(exponent) + 2.0F * kLog2E * t * series);
  const float n = (y + kMagic) - kMagic;
  const float r = (y - n) * kLn2;
  const float tail = 1.0F / 24 + r * (1.0F / 120 + r * (1.0F / 720 + r * (1.0F / 5040)));
  const float sum = 1.0F + r * (1.0F + r * (1.0F / 2 + r * (1.0F / 6 + r * tail)));
  return sum * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

}  // namespace bitlaw::quant
