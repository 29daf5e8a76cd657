// Scales of block formats.
#include "quant/block_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/float_format.h"

namespace bitlaw::quant {

namespace {

constexpr int kSmallestExponent = -127;
constexpr int kLargestExponent = 127;
constexpr float kLargestE4m3 = 448.0F;

float power_of_two(int exponent) {
  return std::ldexp(1.0F, std::clamp(exponent, kSmallestExponent, kLargestExponent));
}

}  // namespace

int floor_log2(float x) {
  int exponent = 0;
  (void)std::frexp(x, &exponent);
  return exponent - 1;
}

int element_exponent(const QuantSpec& spec) {
  return spec.fields().type == NumberType::floating ? layout_of(*spec.fields().format).emax : 6;
}

float mx_scale(float amax, const QuantSpec& spec) {
  return amax == 0.0F ? power_of_two(kSmallestExponent)
                      : power_of_two(floor_log2(amax) - element_exponent(spec));
}

float mx_scale_of_compressed_tensors(float amax, const QuantSpec& spec) {
  const auto format = spec.fields().format;
  if (format != FloatFormat::e2m1 && format != FloatFormat::e2m3 && format != FloatFormat::e4m3) {
    throw data::InputError("scales of " + spec.to_string() + " by the rule of compressed-tensors",
                           "it is defined for e2m1, e2m3 and e4m3", "use the standard's rule");
  }
  if (amax == 0.0F) {
    return power_of_two(kSmallestExponent);
  }
  const int exponent = floor_log2(amax);
  const float significand = std::ldexp(amax, -exponent);
  const float threshold = format == FloatFormat::e2m3 ? 1.9375F : 1.75F;
  return power_of_two(exponent + (significand >= threshold ? 1 : 0) - element_exponent(spec));
}

std::uint8_t e8m0_byte(float power_of_two) {
  return static_cast<std::uint8_t>(floor_log2(power_of_two) + 127);
}

float e8m0_value(std::uint8_t byte) {
  return byte == 255 ? std::numeric_limits<float>::quiet_NaN()
                     : std::ldexp(1.0F, static_cast<int>(byte) - 127);
}

float top_level(const QuantSpec& spec) {
  switch (spec.fields().type) {
    case NumberType::integer:
      return static_cast<float>((1 << spec.bits()) - 1) / 2.0F;
    case NumberType::floating:
      return layout_of(*spec.fields().format).largest;
    case NumberType::quantile:
    case NumberType::ternary:
      break;
  }
  return 1.0F;
}

double largest_level(const QuantSpec& spec) {
  return spec.fields().type == NumberType::integer ? static_cast<double>(spec.q_max())
                                                   : static_cast<double>(top_level(spec));
}

float global_scale_of_amax(float amax, const QuantSpec& spec) {
  if (amax == 0.0F) {
    return 1.0F;
  }
  int exponent = 0;
  const float significand = std::frexp(amax / top_level(spec) / kLargestE4m3, &exponent);
  return std::ldexp(1.0F, std::max(significand == 0.5F ? exponent - 1 : exponent,
                                   std::numeric_limits<float>::min_exponent - 1));
}

}  // namespace bitlaw::quant
