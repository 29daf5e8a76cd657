// The error of a group under candidate parameters, against sums in double.
#include "quant/squared_error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/seed.h"
#include "quant/affine.h"
#include "quant/kernels/power_math.h"
#include "quant/spec.h"

namespace bitlaw::quant {
namespace {

TEST(PowerMath, IsWithinAMillionthOfTheExactPower) {
  for (const float p : {0.4F, -0.4F, 0.5F, 1.0F, -1.0F, 0.0F}) {
    for (float x = 1e-6F; x < 100.0F; x *= 1.0037F) {
      const double exact = std::pow(static_cast<double>(x), static_cast<double>(p));
      const double allowed = 1e-6 * std::max(1.0, std::abs(static_cast<double>(p) * std::log2(x)) / 8.0);
      ASSERT_NEAR(static_cast<double>(power_of(x, p)), exact, allowed * exact) << x << "^" << p;
    }
  }
  EXPECT_EQ(power_of(1.0F, 0.4F), 1.0F);
  EXPECT_EQ(power_of(4.0F, 0.5F), 2.0F);
  EXPECT_LT(power_of(0.0F, 0.4F), 1e-15F);  // times the square of 0 it is 0
}

std::vector<float> uniform_numbers(std::size_t count) {
  std::vector<float> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<float>(data::uniform({7, data::Purpose::synthetic, 0, 0}, i) - 0.4) * 0.3F;
  }
  return numbers;
}

double level_of(float w, const GroupParameters& group, const QuantSpec& spec) {
  const double offset = spec.level_offset() - static_cast<double>(group.zero_point);
  const double scale = static_cast<double>(group.scale);
  const double code = std::nearbyint(static_cast<double>(w) / scale - offset);
  return (std::clamp<double>(code, spec.q_min(), spec.q_max()) + offset) * scale;
}

class GridError : public testing::TestWithParam<const char*> {};

TEST_P(GridError, IsTheSumOfPowersOfErrors) {
  const QuantSpec spec = QuantSpec::parse(GetParam());
  for (const std::size_t width : {1, 15, 16, 64, 100, 5000}) {
    const std::vector<float> w = uniform_numbers(width);
    const GroupParameters group = find_group(w, spec, ScaleSearch::mse);
    for (const double power : {1.5, 2.0, 2.4, 3.0}) {
      double exact = 0.0;
      for (const float x : w) {
        exact += std::pow(std::abs(level_of(x, group, spec) - static_cast<double>(x)), power);
      }
      // float32 errors of a scale's size: some 1e-6 of it each
      EXPECT_NEAR(power_error(w, group, spec, power), exact, 2e-5 * exact + 1e-12) << width << " " << power;
      if (power == 2.0) {
        EXPECT_NEAR(squared_error(w, group, spec), exact, 2e-5 * exact + 1e-12) << width;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Integers, GridError,
                         testing::Values("int2h.g64.sym.float32", "int3.g64.asym.float32",
                                         "int4.g64.sym.float32", "int8.g64.sym.float32"));

}  // namespace
}  // namespace bitlaw::quant
