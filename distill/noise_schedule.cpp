#include "distill/noise_schedule.h"

#include <cmath>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::distill {

namespace {

void check(const std::vector<double>& betas, const std::vector<std::int64_t>& timesteps) {
  if (betas.size() < 2 || betas.size() != timesteps.size()) {
    throw data::InputError("a noise schedule of " + std::to_string(betas.size()) + " steps",
                           "the first step borrows the variance of the second", "give it two steps or more");
  }
  for (std::size_t i = 0; i < betas.size(); ++i) {
    if (!(betas[i] > 0.0 && betas[i] < 1.0)) {
      throw data::InputError("beta of step " + std::to_string(i) + " is " + std::to_string(betas[i]),
                             "a step keeps part of the signal and adds noise",
                             "give it a beta inside (0, 1)");
    }
  }
}

void check_count(std::int64_t total, std::int64_t count) {
  if (count >= 1 && count <= total) return;
  throw data::InputError(std::to_string(count).append(" steps of a chain of ").append(std::to_string(total)),
                         "a shorter chain keeps some of the longer one's steps",
                         std::string("choose a number from 1 to ").append(std::to_string(total)));
}

}  // namespace

NoiseSchedule noise_schedule(std::vector<double> betas, std::vector<std::int64_t> timesteps) {
  check(betas, timesteps);
  NoiseSchedule made;
  double cumulative = 1.0;
  for (const double beta : betas) {
    const double previous = cumulative;
    cumulative *= 1.0 - beta;
    made.alphas_cumprod.push_back(cumulative);
    made.alphas_cumprod_prev.push_back(previous);
    made.posterior_variance.push_back(beta * (1.0 - previous) / (1.0 - cumulative));
    made.posterior_mean_x0.push_back(beta * std::sqrt(previous) / (1.0 - cumulative));
    made.posterior_mean_xt.push_back((1.0 - previous) * std::sqrt(1.0 - beta) / (1.0 - cumulative));
  }
  for (std::size_t i = 0; i < betas.size(); ++i) {
    made.posterior_log_variance_clipped.push_back(std::log(made.posterior_variance[i == 0 ? 1 : i]));
  }
  made.betas = std::move(betas);
  made.timesteps = std::move(timesteps);
  return made;
}

NoiseSchedule linear_noise_schedule(std::int64_t steps) {
  if (steps < 2) return noise_schedule({}, {});  // refused there
  const double scale = 1000.0 / static_cast<double>(steps);
  const double first = scale * 1e-4, last = scale * 0.02;
  const double stride = (last - first) / static_cast<double>(steps - 1);
  std::vector<double> betas;
  std::vector<std::int64_t> timesteps;
  for (std::int64_t i = 0; i < steps; ++i) {
    betas.push_back(i == steps - 1 ? last : static_cast<double>(i) * stride + first);
    timesteps.push_back(i);
  }
  return noise_schedule(std::move(betas), std::move(timesteps));
}

NoiseSchedule respaced(const NoiseSchedule& full, std::span<const std::int64_t> steps) {
  std::vector<double> betas;
  std::vector<std::int64_t> timesteps;
  double previous = 1.0;
  std::int64_t last = -1;
  for (const std::int64_t step : steps) {
    if (step <= last || step >= full.steps()) {
      throw data::InputError("step " + std::to_string(step) + " after step " + std::to_string(last) +
                                 " of a chain of " + std::to_string(full.steps()),
                             "kept steps rise and are steps of the chain", "correct the list of steps");
    }
    const double kept = full.alphas_cumprod[static_cast<std::size_t>(step)];
    betas.push_back(1.0 - kept / previous);
    timesteps.push_back(full.timesteps[static_cast<std::size_t>(step)]);
    previous = kept;
    last = step;
  }
  return noise_schedule(std::move(betas), std::move(timesteps));
}

std::vector<std::int64_t> spaced_steps(std::int64_t total, std::int64_t count) {
  check_count(total, count);
  const double stride = count == 1 ? 1.0 : static_cast<double>(total - 1) / static_cast<double>(count - 1);
  std::vector<std::int64_t> steps;
  double position = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    steps.push_back(std::llrint(position));  // half to even in the default rounding mode
    position += stride;
  }
  return steps;
}

std::vector<std::int64_t> strided_steps(std::int64_t total, std::int64_t count) {
  check_count(total, count);
  for (std::int64_t stride = 1; stride <= total; ++stride) {
    if ((total + stride - 1) / stride != count) continue;
    std::vector<std::int64_t> steps;
    for (std::int64_t step = 0; step < total; step += stride) steps.push_back(step);
    return steps;
  }
  throw data::InputError(
      "no integer stride leaves " + std::to_string(count) + " of " + std::to_string(total) + " steps",
      "DDIM's steps are multiples of one stride", "choose for example 10, 20, 50 or 100");
}

}  // namespace bitlaw::distill
