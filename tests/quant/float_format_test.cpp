// Rounding to small floats: every code, every decision threshold, random numbers, the ends of the range.
#include "quant/float_format.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/quant/support.h"

namespace bitlaw::quant {
namespace {

std::vector<FloatFormat> all_formats() {
  std::vector<FloatFormat> formats;
  for (std::size_t i = 0; i < std::size(data::EnumNames<FloatFormat>::names); ++i) {
    formats.push_back(static_cast<FloatFormat>(i));
  }
  return formats;
}

std::uint8_t sign_of(FloatFormat format) {
  return static_cast<std::uint8_t>(1U << (bits_of(format) - 1));
}

// Non-negative numbers of a format in order; number i has pattern i.
std::vector<float> magnitudes(FloatFormat format) {
  std::vector<float> values;
  for (std::uint8_t pattern = 0; pattern < sign_of(format); ++pattern) {
    if (const float value = value_of_pattern(format, pattern); !std::isnan(value)) {
      values.push_back(value);
    }
  }
  return values;
}

TEST(FloatFormat, EveryNumberIsItself) {
  for (const FloatFormat format : all_formats()) {
    const std::vector<float> values = magnitudes(format);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto pattern = static_cast<std::uint8_t>(i);
      EXPECT_EQ(bits(round_to_format(values[i], format)), bits(values[i]));
      EXPECT_EQ(bits(round_to_format(-values[i], format)), bits(-values[i]));
      EXPECT_EQ(pattern_of(values[i], format), pattern) << data::enum_name(format);
      EXPECT_EQ(pattern_of(-values[i], format), pattern | sign_of(format)) << data::enum_name(format);
    }
    EXPECT_EQ(values.back(), layout_of(format).largest);
    EXPECT_EQ(values[1], layout_of(format).smallest);
    EXPECT_EQ(std::ldexp(1.0F, layout_of(format).emax), std::exp2(std::floor(std::log2(values.back()))));
  }
}

TEST(FloatFormat, EveryThresholdTiesToTheEvenMantissa) {
  for (const FloatFormat format : all_formats()) {
    const std::vector<float> values = magnitudes(format);
    const bool has_mantissa = layout_of(format).mantissa_bits > 0;
    for (std::size_t i = 0; i + 1 < values.size(); ++i) {
      const float middle = (values[i] + values[i + 1]) / 2;
      // Without mantissa a tie goes up, but for half of the smallest number.
      const std::size_t winner = has_mantissa ? i + i % 2 : (i == 0 ? 0 : i + 1);
      for (const float sign : {1.0F, -1.0F}) {
        const std::string where = std::string(data::enum_name(format)) + " " + std::to_string(middle);
        EXPECT_EQ(round_to_format(sign * std::nextafter(middle, 0.0F), format), sign * values[i]) << where;
        EXPECT_EQ(round_to_format(sign * middle, format), sign * values[winner]) << where;
        EXPECT_EQ(round_to_format(sign * std::nextafter(middle, INFINITY), format), sign * values[i + 1])
            << where;
      }
    }
  }
}

TEST(FloatFormat, SaturatesKeepsSignsAndNaN) {
  constexpr float kLargestFloat = std::numeric_limits<float>::max();
  for (const FloatFormat format : all_formats()) {
    const float largest = layout_of(format).largest;
    for (const float x : {largest * 1.01F, largest * 1.9F, kLargestFloat, INFINITY}) {
      EXPECT_EQ(round_to_format(x, format), largest);
      EXPECT_EQ(round_to_format(-x, format), -largest);
    }
    for (const float x : {0.0F, std::numeric_limits<float>::denorm_min(), 1e-39F, 1e-30F}) {
      EXPECT_EQ(bits(round_to_format(x, format)), bits(0.0F));
      EXPECT_EQ(bits(round_to_format(-x, format)), bits(-0.0F));
      EXPECT_EQ(pattern_of(-x, format), sign_of(format));
    }
    EXPECT_TRUE(std::isnan(round_to_format(std::numeric_limits<float>::quiet_NaN(), format)));
  }
}

TEST(FloatFormat, RandomNumbersGoToTheNearest) {
  for (const FloatFormat format : all_formats()) {
    const std::vector<float> values = magnitudes(format);
    std::uint32_t state = 1;
    for (int i = 0; i < 20000; ++i) {
      state = state * 1664525U + 1013904223U;
      const float x = std::bit_cast<float>(state & 0x7FFFFFFFU);  // any exponent, subnormal numbers included
      if (!std::isfinite(x)) {
        continue;
      }
      const float rounded = round_to_format(x, format);
      double least = INFINITY;
      for (const float value : values) {
        least = std::min(least, std::abs(static_cast<double>(value) - static_cast<double>(x)));
      }
      ASSERT_EQ(std::abs(static_cast<double>(rounded) - static_cast<double>(x)), least)
          << data::enum_name(format) << " " << x;
    }
  }
}

TEST(FloatFormat, ExamplesOfE4m3AndE2m1) {
  const std::vector<std::pair<float, int>> e4m3 = {
      {.1F, 0x1D},   {.3F, 0x2A},   {1 / 3.0F, 0x2B}, {1.0625F, 0x38}, {1.1875F, 0x3A}, {17, 0x58},
      {19, 0x5A},    {300, 0x79},   {304, 0x7A},      {240, 0x77},     {432, 0x7E},     {-.001F, 0x81},
      {0x1p-10F, 0}, {0x3p-10F, 2}, {464, 0x7E},      {1e9F, 0x7E},    {-1e9F, 0xFE}};
  for (const auto& [x, pattern] : e4m3) {
    EXPECT_EQ(pattern_of(x, FloatFormat::e4m3), pattern) << x;
  }
  const std::vector<std::pair<float, float>> e2m1 = {{.25F, 0},     {.75F, 1},    {1.25F, 1}, {1.75F, 2},
                                                     {2.5F, 2},     {3.5F, 4},    {5, 4},     {5.01F, 6},
                                                     {.2501F, .5F}, {.7499F, .5F}};
  for (const auto& [x, value] : e2m1) {
    EXPECT_EQ(round_to_format(x, FloatFormat::e2m1), value) << x;
  }
}

}  // namespace
}  // namespace bitlaw::quant
