// Accuracy of the kernel's exp and log. They are compiled here for the lowest instruction set alone; that the
// others give the same bits is tested where losses are.
#include "distill/losses/kernels/lanes-inl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

float exp_of(float x) {
  return hn::GetLane(exp_nonpositive(hn::Set(Floats(), x)));
}
float log_of(float x) {
  return hn::GetLane(log_positive(hn::Set(Floats(), x)));
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

namespace bitlaw::distill::kernels {
namespace {

using HWY_NAMESPACE::exp_of;
using HWY_NAMESPACE::log_of;

// Error in units in the last place of the true value.
double error_in_ulp(float value, double truth) {
  const auto rounded = static_cast<float>(truth);
  const double ulp = static_cast<double>(std::nextafter(std::fabs(rounded), 1e30F)) -
                     std::fabs(static_cast<double>(rounded));
  return std::fabs(static_cast<double>(value) - truth) / ulp;
}

TEST(Lanes, ExpIsWithinOneUnitInTheLastPlace) {
  double largest = 0;
  for (int i = 0; i <= 4'000'000; ++i) {
    const float x = static_cast<float>(i) * (-69.3F / 4'000'000);
    largest = std::max(largest, error_in_ulp(exp_of(x), std::exp(static_cast<double>(x))));
  }
  EXPECT_LT(largest, 1.1);
  EXPECT_EQ(exp_of(0.0F), 1.0F);
  EXPECT_EQ(exp_of(-0.0F), 1.0F);
}

TEST(Lanes, ExpIsZeroFarBelowAndKeepsNoNumber) {
  EXPECT_GT(exp_of(-69.31F), 0.0F);
  for (const float x : {-69.32F, -100.0F, -1e10F, -1e30F, -std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(exp_of(x), 0.0F) << x;
  }
  EXPECT_TRUE(std::isnan(exp_of(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Lanes, LogIsWithinOneUnitInTheLastPlace) {
  double largest = 0;
  for (int i = 0; i < 3'000'000; ++i) {
    const float x = std::exp2(-122.0F + static_cast<float>(i) * 4.4e-5F);  // up to 2^10
    // Near 1 the logarithm is small and its error is counted in units of x's own last place.
    const double truth = std::log(static_cast<double>(x));
    if (std::fabs(truth) > 0.05) largest = std::max(largest, error_in_ulp(log_of(x), truth));
    EXPECT_LT(std::fabs(static_cast<double>(log_of(x)) - truth), 1e-7 * (1 + std::fabs(truth))) << x;
  }
  EXPECT_LT(largest, 1.5);
  EXPECT_EQ(log_of(1.0F), 0.0F);
  EXPECT_TRUE(std::isnan(log_of(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace bitlaw::distill::kernels
