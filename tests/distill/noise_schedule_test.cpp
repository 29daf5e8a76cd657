// Noise schedules: closed forms, chains of fewer steps, lists of steps, refusals.
#include "distill/noise_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "data/formats/input_error.h"
#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(NoiseSchedule, LinearBetas) {
  const NoiseSchedule chain = linear_noise_schedule();
  ASSERT_EQ(chain.steps(), 1000);
  EXPECT_DOUBLE_EQ(chain.betas[0], 1e-4);
  EXPECT_DOUBLE_EQ(chain.betas[999], 0.02);
  EXPECT_NEAR(chain.betas[500], 1e-4 + 500 * (0.02 - 1e-4) / 999, 1e-16);
  EXPECT_EQ(chain.timesteps[999], 999);
  double log_product = 0;
  for (const double beta : chain.betas) log_product += std::log1p(-beta);
  EXPECT_NEAR(std::log(chain.alphas_cumprod[999]), log_product, 1e-11);
  EXPECT_DOUBLE_EQ(linear_noise_schedule(100).betas[0], 1e-3);
  EXPECT_DOUBLE_EQ(linear_noise_schedule(100).betas[99], 0.2);
}

// Three steps by hand: beta 1/2, 1/3, 1/4, so abar is 1/2, 1/3, 1/4.
TEST(NoiseSchedule, TablesByHand) {
  const NoiseSchedule chain = noise_schedule({1.0 / 2, 1.0 / 3, 1.0 / 4}, {0, 1, 2});
  const double tolerance = 1e-15;
  EXPECT_NEAR(chain.alphas_cumprod[2], 1.0 / 4, tolerance);
  EXPECT_THAT(chain.alphas_cumprod_prev, ElementsAre(1.0, 1.0 / 2, testing::DoubleNear(1.0 / 3, tolerance)));
  EXPECT_EQ(chain.posterior_variance[0], 0);
  EXPECT_NEAR(chain.posterior_variance[1], 1.0 / 4, tolerance);  // 1/3 (1/2) / (2/3)
  EXPECT_NEAR(chain.posterior_variance[2], 2.0 / 9, tolerance);  // 1/4 (2/3) / (3/4)
  EXPECT_EQ(chain.posterior_log_variance_clipped[0], chain.posterior_log_variance_clipped[1]);
  EXPECT_NEAR(chain.posterior_log_variance_clipped[2], std::log(2.0 / 9), tolerance);
  EXPECT_NEAR(chain.posterior_mean_x0[0], 1, tolerance);
  EXPECT_EQ(chain.posterior_mean_xt[0], 0);
  EXPECT_NEAR(chain.posterior_mean_x0[2], std::sqrt(1.0 / 3) / 3, tolerance);
  EXPECT_NEAR(chain.posterior_mean_xt[2], std::sqrt(3.0 / 4) * 8 / 9, tolerance);
}

TEST(NoiseSchedule, RespacedChainsKeepTheNoiseOfTheirSteps) {
  const NoiseSchedule full = linear_noise_schedule();
  const NoiseSchedule same = respaced(full, spaced_steps(1000, 1000));
  const std::vector<std::int64_t> steps = {3, 40, 41, 999};
  const NoiseSchedule few = respaced(full, steps);
  EXPECT_EQ(few.timesteps, steps);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto step = static_cast<std::size_t>(steps[i]);
    EXPECT_NEAR(few.alphas_cumprod[i] / full.alphas_cumprod[step], 1, 1e-11);
    EXPECT_NEAR(same.betas[step] / full.betas[step], 1, 1e-10);
  }
  // Respacing a respaced chain names steps of the network's own chain.
  EXPECT_THAT(respaced(few, std::vector<std::int64_t>{1, 3}).timesteps, ElementsAre(40, 999));
}

TEST(NoiseSchedule, ListsOfSteps) {
  EXPECT_THAT(spaced_steps(10, 4), ElementsAre(0, 3, 6, 9));
  EXPECT_THAT(spaced_steps(6, 3), ElementsAre(0, 2, 5));  // 2.5 to the even side
  EXPECT_THAT(spaced_steps(8, 3), ElementsAre(0, 4, 7));  // 3.5 to the even side
  EXPECT_THAT(spaced_steps(8, 1), ElementsAre(0));
  for (const std::int64_t count : {2, 21, 50, 250, 999, 1000}) {
    const auto steps = spaced_steps(1000, count);
    EXPECT_EQ(std::set<std::int64_t>(steps.begin(), steps.end()).size(), static_cast<std::size_t>(count));
    EXPECT_EQ(steps.back(), 999);
  }
  EXPECT_THAT(strided_steps(1000, 4), ElementsAre(0, 250, 500, 750));
  EXPECT_THAT(strided_steps(10, 3), ElementsAre(0, 4, 8));
  EXPECT_THAT(strided_steps(3, 3), ElementsAre(0, 1, 2));
}

TEST(NoiseSchedule, Refusals) {
  const NoiseSchedule full = linear_noise_schedule();
  const auto kept = [&](std::vector<std::int64_t> steps) {
    return message_of([&] { respaced(full, steps); });
  };
  EXPECT_THAT(kept({3, 3}), HasSubstr("step 3 after step 3"));
  EXPECT_THAT(kept({0, 1000}), HasSubstr("of a chain of 1000"));
  EXPECT_THAT(kept({5}), HasSubstr("a noise schedule of 1 steps"));
  EXPECT_THAT(message_of([] { noise_schedule({0.5, 1.0}, {0, 1}); }), HasSubstr("beta of step 1 is 1.0"));
  EXPECT_THAT(message_of([] { linear_noise_schedule(1); }), HasSubstr("a noise schedule of 0 steps"));
  EXPECT_THAT(message_of([] { spaced_steps(10, 11); }), HasSubstr("choose a number from 1 to 10"));
  EXPECT_THAT(message_of([] { strided_steps(1000, 600); }),
              HasSubstr("no integer stride leaves 600 of 1000"));
}

}  // namespace
}  // namespace bitlaw::distill
