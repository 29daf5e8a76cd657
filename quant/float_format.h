// Small floating-point formats: 1 sign bit, e exponent bits, m mantissa bits, bias 2^(e-1) - 1.
//
//   value of (S, E, M): E = 0: (-1)^S 2^(1-bias) M / 2^m, else (-1)^S 2^(E-bias) (1 + M / 2^m)
// e4m3 is the variant without infinities (S.1111.111 is NaN, the largest number 448); e5m2 is IEEE's
// (exponent 31 is infinity and NaN, the largest number 57344); the others have numbers in all codes.
// Rounding: nearest, ties to the even mantissa (kernels/float_format_math.h says what that means without
// mantissa), magnitudes above the largest number become it, the sign is kept, that of zero too. Sources: OCP
// MX 1.0 for e2m1, e2m3, e3m2, e4m3, e5m2; the others by the same rule. Torch-free.
#pragma once

#include <cstdint>

#include "quant/kernels/float_format_math.h"
#include "quant/spec.h"

namespace bitlaw::quant {

struct FloatLayout {
  int exponent_bits = 0;
  int mantissa_bits = 0;
  int bias = 0;
  int emax = 0;  // exponent of the largest number
  float largest = 0.0F;
  float smallest = 0.0F;  // positive, subnormal where the format has mantissa bits
};
FloatLayout layout_of(FloatFormat format);
FloatElement element_of(FloatFormat format);

// Of a bit pattern below 2^bits; NaN for the patterns that are no numbers, infinity included.
float value_of_pattern(FloatFormat format, std::uint8_t pattern);
// x as a number of the format; NaN stays NaN.
float round_to_format(float x, FloatFormat format);
// Bit pattern of x rounded; x is no NaN.
std::uint8_t pattern_of(float x, FloatFormat format);

}  // namespace bitlaw::quant
