// Small floating-point formats.
#include "quant/float_format.h"

#include <cmath>
#include <limits>

namespace bitlaw::quant {

FloatLayout layout_of(FloatFormat format) {
  const std::string_view name = data::enum_name(format);  // e<digit>m<digit>
  FloatLayout layout;
  layout.exponent_bits = name[1] - '0';
  layout.mantissa_bits = name[3] - '0';
  layout.bias = (1 << (layout.exponent_bits - 1)) - 1;
  const int top = (1 << layout.exponent_bits) - 1;
  const bool ieee = format == FloatFormat::e5m2;  // the highest exponent holds no numbers
  layout.emax = top - layout.bias - (ieee ? 1 : 0);
  // e4m3 gives its highest mantissa at the highest exponent to NaN.
  const int lost = format == FloatFormat::e4m3 ? 2 : 1;
  layout.largest =
      std::ldexp(2.0F - static_cast<float>(lost) * std::ldexp(1.0F, -layout.mantissa_bits), layout.emax);
  layout.smallest = std::ldexp(1.0F, 1 - layout.bias - layout.mantissa_bits);
  if (layout.mantissa_bits == 0) {
    layout.smallest = std::ldexp(1.0F, 1 - layout.bias);
  }
  return layout;
}

FloatElement element_of(FloatFormat format) {
  const FloatLayout layout = layout_of(format);
  FloatElement element;
  element.largest = layout.largest;
  element.min_normal = std::ldexp(1.0F, 1 - layout.bias);
  element.magic = std::ldexp(1.0F, 23 - layout.mantissa_bits);
  element.per_step = std::ldexp(1.0F, layout.bias - 1 + layout.mantissa_bits);
  element.mantissa_bits = layout.mantissa_bits;
  element.rebias = static_cast<std::uint32_t>(127 - layout.bias) << layout.mantissa_bits;
  element.sign_bit = 1U << (layout.exponent_bits + layout.mantissa_bits);
  return element;
}

float value_of_pattern(FloatFormat format, std::uint8_t pattern) {
  const FloatLayout layout = layout_of(format);
  const int exponent = pattern >> layout.mantissa_bits & ((1 << layout.exponent_bits) - 1);
  const auto mantissa = static_cast<float>(pattern & ((1 << layout.mantissa_bits) - 1));
  const float fraction = std::ldexp(mantissa, -layout.mantissa_bits);
  const float magnitude = exponent == 0 ? std::ldexp(fraction, 1 - layout.bias)
                                        : std::ldexp(1.0F + fraction, exponent - layout.bias);
  if (magnitude > layout.largest) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return (pattern & element_of(format).sign_bit) != 0 ? -magnitude : magnitude;
}

float round_to_format(float x, FloatFormat format) {
  return std::copysign(round_magnitude(std::abs(x), element_of(format)), x);
}

std::uint8_t pattern_of(float x, FloatFormat format) {
  const FloatElement element = element_of(format);
  const std::uint32_t magnitude = pattern_of_magnitude(round_magnitude(std::abs(x), element), element);
  return static_cast<std::uint8_t>(magnitude | (std::signbit(x) ? element.sign_bit : 0U));
}

}  // namespace bitlaw::quant
