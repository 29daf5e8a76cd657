// The noise of a diffusion chain: its tables in float64, and chains of fewer steps. Torch-free.
//
//   q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I),  abar_t = prod_{s <= t} (1 - beta_s)
//   q(x_{t-1} | x_t, x_0) = N(posterior_mean_x0 x_0 + posterior_mean_xt x_t, posterior_variance I)
//
// Sources: Ho et al. (arXiv 2006.11239), Nichol and Dhariwal (arXiv 2102.09672) for respacing and the clipped
// logarithm, Song et al. (arXiv 2010.02502) for the strides of DDIM.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bitlaw::distill {

// Element i of every table belongs to step i of this chain; step 0 is the least noisy.
struct NoiseSchedule {
  std::vector<std::int64_t> timesteps;  // of the chain that the network was trained on: what it is given
  std::vector<double> betas;
  std::vector<double> alphas_cumprod;                  // abar
  std::vector<double> alphas_cumprod_prev;             // abar of the step before; 1 at step 0
  std::vector<double> posterior_variance;              // beta (1 - abar_prev) / (1 - abar); 0 at step 0
  std::vector<double> posterior_log_variance_clipped;  // its logarithm; at step 0 that of step 1
  std::vector<double> posterior_mean_x0;               // sqrt(abar_prev) beta / (1 - abar)
  std::vector<double> posterior_mean_xt;               // sqrt(1 - beta) (1 - abar_prev) / (1 - abar)

  std::int64_t steps() const { return static_cast<std::int64_t>(betas.size()); }
};

// InputError: fewer than two steps, or a beta that is not inside (0, 1).
NoiseSchedule noise_schedule(std::vector<double> betas, std::vector<std::int64_t> timesteps);
// beta linear from 1e-4 to 0.02 over 1000 steps, the schedule of DiT; for another number of steps both ends
// are multiplied by 1000 / steps, so that the whole noise stays.
NoiseSchedule linear_noise_schedule(std::int64_t steps = 1000);

// The chain through these steps of `full` alone, with the same abar at each: beta_i = 1 - abar_i / abar of
// the kept step before. InputError: steps that do not rise, or that `full` lacks.
NoiseSchedule respaced(const NoiseSchedule& full, std::span<const std::int64_t> steps);

// `count` of `total` steps, evenly spaced from the first to the last: multiples of (total - 1) / (count - 1),
// added up in float64 and rounded half to even, as published.
std::vector<std::int64_t> spaced_steps(std::int64_t total, std::int64_t count);
// 0, s, 2s, ...: the smallest integer stride that leaves exactly `count` steps. InputError when none does.
std::vector<std::int64_t> strided_steps(std::int64_t total, std::int64_t count);

}  // namespace bitlaw::distill
