// Squared error and variational bound.
#include "distill/losses/diffusion_loss.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace bitlaw::distill {

namespace {

constexpr double kHalfLevel = 1.0 / 255.0;  // of 256 levels in [-1, 1]
constexpr double kEdge = 0.999;             // beyond it a level has no neighbour
constexpr double kLeastProbability = 1e-12;

at::Tensor mean_of_sample(const at::Tensor& x_BCSS) {
  return x_BCSS.flatten(1).mean(1);
}

// Of two normal distributions with diagonal variance, in nats.
at::Tensor divergence(const at::Tensor& mean, const at::Tensor& log_variance, const ReverseStep& model) {
  return 0.5 * (model.log_variance - log_variance + at::exp(log_variance - model.log_variance) +
                (mean - model.mean).square() * at::exp(-model.log_variance) - 1.0);
}

// The published approximation of the normal distribution function; the exact one is 2e-3 away.
at::Tensor normal_distribution(const at::Tensor& z) {
  const double factor = std::sqrt(2.0 / std::numbers::pi);
  return 0.5 * (1.0 + at::tanh(factor * (z + 0.044715 * z.pow(3))));
}

at::Tensor safe_log(const at::Tensor& probability) {
  return probability.clamp_min(kLeastProbability).log();
}

// In nats.
at::Tensor negative_log_likelihood(const at::Tensor& x0, const ReverseStep& model) {
  const at::Tensor inverse_deviation = at::exp(-0.5 * model.log_variance);
  const at::Tensor centred = x0 - model.mean;
  const at::Tensor below_upper = normal_distribution(inverse_deviation * (centred + kHalfLevel));
  const at::Tensor below_lower = normal_distribution(inverse_deviation * (centred - kHalfLevel));
  const at::Tensor inside = safe_log(below_upper - below_lower);
  const at::Tensor last = at::where(x0 > kEdge, safe_log(1.0 - below_lower), inside);
  return -at::where(x0 < -kEdge, safe_log(below_upper), last);
}

}  // namespace

DiffusionLoss diffusion_loss(const NoiseSchedule& schedule, const at::Tensor& output_BOSS,
                             const at::Tensor& x0_BCSS, const NoisyLatents& latents,
                             const at::Tensor& noise_BCSS) {
  const std::int64_t channels = x0_BCSS.size(1);
  const at::Tensor predicted_noise = output_BOSS.slice(1, 0, channels);
  const at::Tensor variance_only = at::cat({predicted_noise.detach(), output_BOSS.slice(1, channels)}, 1);
  const ReverseStep model = reverse_step(schedule, variance_only, latents);
  const at::Tensor& steps_B = latents.steps_B;
  const at::Tensor mean = table_at(schedule.posterior_mean_x0, steps_B) * x0_BCSS +
                          table_at(schedule.posterior_mean_xt, steps_B) * latents.x_BCSS;
  const at::Tensor log_variance = table_at(schedule.posterior_log_variance_clipped, steps_B);
  const at::Tensor bound = at::where(steps_B.eq(0), mean_of_sample(negative_log_likelihood(x0_BCSS, model)),
                                     mean_of_sample(divergence(mean, log_variance, model)));
  return {.mse = mean_of_sample((noise_BCSS - predicted_noise).square()), .vb = bound / std::numbers::ln2};
}

}  // namespace bitlaw::distill
