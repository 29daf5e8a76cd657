// Scales from logarithms against the C library, and the same bits on every instruction set.
#include "quant/learned_scale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/affine.h"
#include "quant/kernels/exponential.h"
#include "tests/quant/support.h"
#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

// From underflow to overflow of float32, unevenly spaced.
std::vector<float> logarithms() {
  std::vector<float> result;
  for (float x = -120.0F; x < 100.0F; x += 0.00317F) {
    result.push_back(x);
  }
  return result;
}

TEST(LearnedScale, ExponentialIsTheNearestFloat) {
  for (const float x : logarithms()) {
    const double expected = std::min<double>(std::exp(static_cast<double>(x)), kLargest);
    ASSERT_EQ(bits(unrounded_scale(x)), bits(static_cast<float>(expected))) << x;
  }
  EXPECT_EQ(unrounded_scale(0.0F), 1.0F);
  EXPECT_EQ(unrounded_scale(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(unrounded_scale(std::numeric_limits<float>::infinity()), kLargest);
  EXPECT_TRUE(std::isnan(unrounded_scale(std::numeric_limits<float>::quiet_NaN())));
}

TEST(LearnedScale, ManyAtOnceAreTheSameBitsOnEveryInstructionSet) {
  const std::vector<float> x = logarithms();
  const auto count = static_cast<std::int64_t>(x.size());
  for_each_target([&] {
    std::vector<float> result(x.size());
    unrounded_scales(x.data(), count, result.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(bits(result[i]), bits(unrounded_scale(x[i]))) << x[i];
    }
    const std::vector<float> poison(9, std::numeric_limits<float>::quiet_NaN());
    unrounded_scales(poison.data(), 9, result.data());
    EXPECT_TRUE(std::isnan(result[0]) && std::isnan(result[8]));
    for (const ScaleType type : {ScaleType::float32, ScaleType::float16, ScaleType::bfloat16}) {
      scales_of_logs(x.data(), count, type, result.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(bits(result[i]), bits(scale_of_log(x[i], type))) << x[i];
      }
    }
  });
}

TEST(LearnedScale, LogarithmAndBackIsTheIdentityFor16BitTypes) {
  for (const ScaleType type : {ScaleType::float16, ScaleType::bfloat16}) {
    for (float scale = 1e-4F; scale < 100.0F; scale *= 1.0173F) {
      const float rounded = round_to(scale, type);
      EXPECT_EQ(scale_of_log(log_of_scale(rounded), type), rounded) << rounded;
    }
  }
}

TEST(LearnedScale, StaysPositiveAndFinite) {
  EXPECT_EQ(scale_of_log(-100.0F, ScaleType::float16), 0x1p-14F);
  EXPECT_EQ(scale_of_log(-17.0F, ScaleType::float16), 0x1p-24F);  // a subnormal number of float16
  EXPECT_EQ(scale_of_log(100.0F, ScaleType::float16), 65504.0F);
  EXPECT_EQ(scale_of_log(100.0F, ScaleType::float32), std::numeric_limits<float>::max());
  EXPECT_EQ(scale_of_log(100.0F, ScaleType::bfloat16), 0x1.fep127F);
  EXPECT_EQ(scale_of_log(-200.0F, ScaleType::float32), std::numeric_limits<float>::min());
}

}  // namespace
}  // namespace bitlaw::quant
