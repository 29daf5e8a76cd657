// Extremes of groups of every length, on every instruction set, against one element at a time.
#include "quant/kernels/group_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

std::vector<float> weights(std::size_t count) {
  std::vector<float> w(count);
  for (std::size_t i = 0; i < count; ++i) {
    w[i] = std::sin(static_cast<float>(i * i + 3)) * 0.02F;
  }
  return w;
}

TEST(GroupRange, EveryLengthOnEveryInstructionSet) {
  for_each_target([] {
    for (std::size_t count = 0; count < 70; ++count) {
      const std::vector<float> w = weights(count);
      float lowest = 0.0F;
      float highest = 0.0F;
      for (const float x : w) {
        lowest = std::min(lowest, x);
        highest = std::max(highest, x);
      }
      const GroupRange found = range_of(w);
      EXPECT_EQ(found.lowest, lowest) << count;
      EXPECT_EQ(found.highest, highest) << count;
      EXPECT_EQ(found.amax(), std::max(-lowest, highest)) << count;
      EXPECT_TRUE(found.is_finite);
    }
  });
}

TEST(GroupRange, OneElementThatIsNotFiniteIsSeenAnywhere) {
  for_each_target([] {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (std::size_t i = 0; i < 37; ++i) {
        std::vector<float> w = weights(37);
        w[i] = bad;
        EXPECT_FALSE(range_of(w).is_finite) << i;
      }
    }
  });
}

TEST(GroupRange, ZeroIsInside) {
  EXPECT_EQ(range_of(std::vector<float>(20, 2.0F)).lowest, 0.0F);
  EXPECT_EQ(range_of(std::vector<float>(20, -2.0F)).highest, 0.0F);
}

}  // namespace
}  // namespace bitlaw::quant
