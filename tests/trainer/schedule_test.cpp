#include "trainer/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitlaw::trainer {

namespace {

ScheduleConfig schedule(ScheduleKind kind, std::int64_t warmup, double ratio) {
  ScheduleConfig config;
  config.kind = kind;
  config.warmup_steps = warmup;
  config.final_lr_ratio = ratio;
  return config;
}

}  // namespace

TEST(Schedule, CosineHasItsClosedForm) {
  const auto config = schedule(ScheduleKind::cosine, 4, 0.1);
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 0), 0.25);
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 1), 0.5);
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 3), 1.0);   // the last of the warm-up is the peak
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 7), 0.55);  // half way: 0.1 + 0.9 / 2
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 5), 0.1 + 0.45 * (1.0 + std::sqrt(0.5)));  // a quarter: cos(pi / 4)
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 11), 0.1);
  EXPECT_DOUBLE_EQ(lr_factor(config, 12, 100), 0.1);
}

TEST(Schedule, CosineWithoutWarmUp) {
  const auto config = schedule(ScheduleKind::cosine, 0, 0.0);
  EXPECT_DOUBLE_EQ(lr_factor(config, 2, 0), 0.5);
  EXPECT_NEAR(lr_factor(config, 2, 1), 0.0, 1e-15);
}

TEST(Schedule, ConstantStaysAtThePeak) {
  const auto config = schedule(ScheduleKind::constant, 2, 0.1);
  EXPECT_DOUBLE_EQ(lr_factor(config, 5, 0), 0.5);
  EXPECT_DOUBLE_EQ(lr_factor(config, 5, 1), 1.0);
  EXPECT_DOUBLE_EQ(lr_factor(config, 5, 4), 1.0);
}

TEST(Schedule, WarmUpMayBeLongerThanTheRun) {
  EXPECT_DOUBLE_EQ(lr_factor(schedule(ScheduleKind::cosine, 10, 0.1), 5, 4), 0.5);
}

TEST(Schedule, ALongerRunMayContinueWhereTheRatesAgree) {
  const auto cosine = schedule(ScheduleKind::cosine, 4, 0.1);
  EXPECT_TRUE(same_until(cosine, 12, 20, 4));
  EXPECT_FALSE(same_until(cosine, 12, 20, 5));
  EXPECT_TRUE(same_until(cosine, 12, 12, 9));
  EXPECT_TRUE(same_until(schedule(ScheduleKind::constant, 4, 0.1), 12, 20, 9));
  // The claim itself: equal factors before step 4, not after.
  for (std::int64_t step = 0; step < 4; ++step) {
    EXPECT_EQ(lr_factor(cosine, 12, step), lr_factor(cosine, 20, step));
  }
  EXPECT_NE(lr_factor(cosine, 12, 4), lr_factor(cosine, 20, 4));
}

}  // namespace bitlaw::trainer
