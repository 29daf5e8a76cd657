// The hybrid loss and single steps against scalar arithmetic in float64, the split of their gradients,
// refusals.
#include "distill/losses/diffusion_loss.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

using testing::HasSubstr;

// One channel, one position; every number by hand.
struct Point {
  double x0, noise, predicted, v;
  std::int64_t step;
};

double entry(const std::vector<double>& table, std::int64_t step) {
  return table[static_cast<std::size_t>(step)];
}

double distribution(double z) {
  return 0.5 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
}

double bits(const NoiseSchedule& s, const Point& point) {
  const std::int64_t t = point.step;
  const double abar = entry(s.alphas_cumprod, t);
  const double x_t = std::sqrt(abar) * point.x0 + std::sqrt(1 - abar) * point.noise;
  const auto mean_of = [&](double x0) {
    return entry(s.posterior_mean_x0, t) * x0 + entry(s.posterior_mean_xt, t) * x_t;
  };
  const double mean = mean_of((x_t - std::sqrt(1 - abar) * point.predicted) / std::sqrt(abar));
  const double smallest = entry(s.posterior_log_variance_clipped, t), f = (point.v + 1) / 2;
  const double log_variance = f * std::log(entry(s.betas, t)) + (1 - f) * smallest;
  if (t > 0) {
    const double offset = mean_of(point.x0) - mean;
    return 0.5 *
           (log_variance - smallest - 1 + std::exp(smallest - log_variance) +
            offset * offset / std::exp(log_variance)) /
           std::numbers::ln2;
  }
  const double deviation = std::exp(0.5 * log_variance), level = 1.0 / 255;
  const double upper = distribution((point.x0 - mean + level) / deviation);
  const double lower = distribution((point.x0 - mean - level) / deviation);
  const double probability = point.x0 < -0.999 ? upper : point.x0 > 0.999 ? 1 - lower : upper - lower;
  return -std::log2(std::max(probability, 1e-12));
}

at::Tensor single(double value) {
  return at::full({1, 1, 1, 1}, value, at::kFloat);
}

DiffusionLoss loss_of(const NoiseSchedule& schedule, const Point& point, const at::Tensor& output) {
  const at::Tensor steps = at::tensor({point.step}, at::kLong), x0 = single(point.x0);
  const NoisyLatents latents{add_noise(schedule, x0, steps, single(point.noise)), steps};
  return diffusion_loss(schedule, output, x0, latents, single(point.noise));
}

at::Tensor output_of(const Point& point) {
  return at::cat({single(point.predicted), single(point.v)}, 1);
}

TEST(DiffusionLoss, EqualsScalarArithmetic) {
  const NoiseSchedule schedule = linear_noise_schedule();
  const std::vector<Point> points = {
      {0.3, -0.5, -0.4, 0.2, 0},  // inside
      {0.3, -0.5, 1.4, -0.9, 0},  // far away: small probability
      {-1.7, 0.8, 0.7, 0.1, 0},   // below the first level
      {1.2, -0.2, -0.1, 0.5, 0},  // above the last level
      {0.1, 2.0, -9.0, 0.0, 0},   // probability below the least
      {0.7, 1.1, 1.0, -0.3, 1},  {-0.4, 0.3, -0.6, 0.8, 500}, {1.5, -1.2, -1.1, 1.0, 999},
  };
  for (const Point& point : points) {
    const DiffusionLoss loss = loss_of(schedule, point, output_of(point));
    const double expected = bits(schedule, point), error = point.noise - point.predicted;
    EXPECT_NEAR(loss.vb.item<double>(), expected, 2e-3 * std::abs(expected) + 2e-5) << point.x0;
    EXPECT_NEAR(loss.mse.item<double>(), error * error, 1e-5 * error * error);
    EXPECT_NEAR(loss.total().item<double>(), (loss.mse + loss.vb).item<double>(), 1e-6);
  }
}

TEST(DiffusionLoss, ErrorTrainsTheNoiseAndBoundTheVariance) {
  const NoiseSchedule schedule = linear_noise_schedule();
  for (const std::int64_t step : {0, 400}) {
    const Point point{0.2, 0.9, 0.8, 0.3, step};
    at::Tensor output = output_of(point).requires_grad_();
    loss_of(schedule, point, output).vb.sum().backward();
    EXPECT_EQ(output.grad().select(1, 0).item<double>(), 0);
    const double slope = output.grad().select(1, 1).item<double>();
    Point above = point, below = point;
    above.v += 1e-4;
    below.v -= 1e-4;
    const double expected = (bits(schedule, above) - bits(schedule, below)) / 2e-4;
    EXPECT_NEAR(slope, expected, 2e-3 * std::abs(expected) + 1e-6) << step;
    output.mutable_grad().zero_();
    loss_of(schedule, point, output).mse.sum().backward();
    EXPECT_EQ(output.grad().select(1, 1).item<double>(), 0);
    EXPECT_NEAR(output.grad().select(1, 0).item<double>(), 2 * (0.8 - 0.9), 1e-6);
  }
}

// A network that knows the noise leads DDIM back to x_0 in any number of steps.
TEST(DiffusionStep, DdimWithTheTrueNoiseReturnsToTheStart) {
  at::manual_seed(2);
  const at::Tensor x0 = at::randn({2, 3, 4, 4}), noise = at::randn({2, 3, 4, 4});
  const NoiseSchedule chain = respaced(linear_noise_schedule(), spaced_steps(1000, 7));
  const at::Tensor output = at::cat({noise, at::zeros_like(noise)}, 1);
  at::Tensor x = add_noise(chain, x0, at::full({2}, 6, at::kLong), noise);
  for (std::int64_t step = 6; step >= 0; --step)
    x = ddim_sample(chain, output, {x, at::full({2}, step, at::kLong)}, 0.0, {});
  EXPECT_LT((x - x0).abs().max().item<double>(), 1e-3);
}

// With v = -1 and the true x_0 the reverse step is the posterior of the forward chain; at step 0 no noise is
// drawn. Samples may stand at different steps.
TEST(DiffusionStep, ReverseOfTheTrueNoiseIsThePosterior) {
  at::manual_seed(3);
  const NoiseSchedule chain = linear_noise_schedule();
  const at::Tensor x0 = at::randn({2, 1, 2, 2}), noise = at::randn({2, 1, 2, 2});
  const at::Tensor steps = at::tensor({0, 300}, at::kLong), draw = at::ones({2, 1, 2, 2});
  const NoisyLatents latents{add_noise(chain, x0, steps, noise), steps};
  const ReverseStep reverse = reverse_step(chain, at::cat({noise, at::full_like(noise, -1)}, 1), latents);
  EXPECT_LT((reverse.predicted_x0 - x0).abs().max().item<double>(), 1e-4);
  EXPECT_NEAR(reverse.log_variance[1][0][0][0].item<double>(), std::log(chain.posterior_variance[300]), 1e-5);
  const at::Tensor sample = ddpm_sample(reverse, steps, draw);
  EXPECT_TRUE(sample[0].equal(reverse.mean[0]));
  EXPECT_NEAR((sample[1] - reverse.mean[1]).mean().item<double>(), std::sqrt(chain.posterior_variance[300]),
              1e-5);
}

TEST(DiffusionStep, Refusals) {
  const NoiseSchedule chain = linear_noise_schedule();
  const NoisyLatents latents{single(0), at::zeros({1}, at::kLong)};
  EXPECT_THAT(test::message_of([&] { reverse_step(chain, single(0), latents); }),
              HasSubstr("an output of 1 channels for latents of 1"));
  EXPECT_THAT(test::message_of([&] { ddim_sample(chain, single(0), latents, 1.5, single(0)); }),
              HasSubstr("eta is 1.5"));
}

}  // namespace
}  // namespace bitlaw::distill
