// exp of a float32, the largest float32 instead of more, computed in double by additions and multiplications
// alone, so that the result does not depend on a C library or on an instruction set. Torch-free.
//
//   x = n ln 2 + r, |r| <= ln 2 / 2      exp(x) = 2^n P(r), P the Taylor polynomial of degree 11
// The double's relative error is below 1e-14, so the float32 is the nearest one but for about one argument in
// ten million.
#pragma once

#include <bit>
#include <cstdint>

namespace bitlaw::quant {

struct ExponentialConstants {
  static constexpr double kLowest = -104.0;  // exp is below half of the smallest float32
  static constexpr double kHighest = 89.0;   // exp is above the largest float32
  static constexpr double kLargest = 0x1.fffffep127;
  static constexpr double kLog2E = 0x1.71547652b82fep0;
  static constexpr double kLn2High = 0x1.62e42fefap-1;  // few bits: its product with n is exact
  static constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double kMagic = 0x1.8p52;  // x + kMagic holds rint(x) in its low bits
  // 1 / k!, from k = 11 down to 0
  static constexpr double kTaylor[] = {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                                       1.0 / 5040,     1.0 / 720,     1.0 / 120,    1.0 / 24,
                                       1.0 / 6,        1.0 / 2,       1.0,          1.0};
};

inline float exponential(float argument) {
  using C = ExponentialConstants;
  const auto given = static_cast<double>(argument);
  const double x = given < C::kLowest ? C::kLowest : (given > C::kHighest ? C::kHighest : given);
  const double shifted = x * C::kLog2E + C::kMagic;
  const double n = shifted - C::kMagic;
  const double r = (x - n * C::kLn2High) - n * C::kLn2Low;
  double sum = C::kTaylor[0];
  for (int k = 1; k < 12; ++k) {
    sum = sum * r + C::kTaylor[k];
  }
  const std::uint64_t exponent = (std::bit_cast<std::uint64_t>(shifted) + 1023) << 52;
  const double result = sum * std::bit_cast<double>(exponent);
  return static_cast<float>(result > C::kLargest ? C::kLargest : result);
}

}  // namespace bitlaw::quant
