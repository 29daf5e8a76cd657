#include "quant/containers/small_scales.h"

#include <bit>
#include <cmath>
#include <limits>

#include "quant/affine.h"
#include "quant/float_format.h"

namespace bitlaw::quant {

namespace {

float moved(float value, int steps) {
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(value) + steps);
}

bool agree(float multiplier, float divisor) {
  for (int mantissa = 8; mantissa < 16; ++mantissa) {
    const auto scale = static_cast<float>(mantissa);
    if (scale * multiplier != scale / divisor) {
      return false;
    }
  }
  return true;
}

// Of the numbers next to 1 / value, the one that `fits`.
template <class Fits>
std::optional<float> near_reciprocal(float value, const Fits& fits) {
  const float reciprocal = 1.0F / value;
  if (!std::isnormal(value) || !std::isnormal(reciprocal) || value < 0.0F) {
    return std::nullopt;
  }
  for (const int steps : {0, 1, -1, 2, -2}) {
    if (const float candidate = moved(reciprocal, steps); fits(candidate)) {
      return candidate;
    }
  }
  return std::nullopt;
}

}  // namespace

bool is_exact_scale(float scale, ScaleType type) {
  if (!(scale > 0.0F) || !std::isfinite(scale)) {
    return false;
  }
  switch (type) {
    case ScaleType::e8m0:
      return std::ldexp(1.0F, std::ilogb(scale)) == scale && scale >= 0x1p-127F;
    case ScaleType::e4m3:
      return round_to_format(scale, FloatFormat::e4m3) == scale;
    default:
      return round_to(scale, type) == scale;
  }
}

std::vector<std::uint8_t> e8m0_bytes(std::span<const float> scales) {
  std::vector<std::uint8_t> bytes;
  for (const float scale : scales) {
    bytes.push_back(static_cast<std::uint8_t>(std::ilogb(scale) + 127));
  }
  return bytes;
}

std::vector<float> e8m0_scales(std::span<const std::uint8_t> bytes) {
  std::vector<float> scales;
  for (const std::uint8_t byte : bytes) {
    scales.push_back(byte == 0xFF ? std::numeric_limits<float>::quiet_NaN()
                                  : std::ldexp(1.0F, static_cast<int>(byte) - 127));
  }
  return scales;
}

std::vector<std::uint8_t> e4m3_bytes(std::span<const float> scales) {
  std::vector<std::uint8_t> bytes;
  for (const float scale : scales) {
    bytes.push_back(pattern_of(scale, FloatFormat::e4m3));
  }
  return bytes;
}

std::vector<float> e4m3_scales(std::span<const std::uint8_t> bytes) {
  std::vector<float> scales;
  for (const std::uint8_t byte : bytes) {
    const float value = value_of_pattern(FloatFormat::e4m3, byte);
    scales.push_back(value > 0.0F ? value : std::numeric_limits<float>::quiet_NaN());
  }
  return scales;
}

std::optional<float> divisor_for(float multiplier) {
  return near_reciprocal(multiplier, [&](float divisor) { return agree(multiplier, divisor); });
}

std::optional<float> multiplier_for(float divisor) {
  return near_reciprocal(divisor, [&](float multiplier) { return agree(multiplier, divisor); });
}

}  // namespace bitlaw::quant
