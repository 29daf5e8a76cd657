// Steps of a diffusion chain on tensors.
#include "distill/diffusion_step.h"

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::distill {

namespace {

// function(abar, abar of the step before, beta) at every step.
std::vector<double> table_of(const NoiseSchedule& schedule,
                             const std::function<double(double, double, double)>& function) {
  std::vector<double> table;
  for (std::size_t i = 0; i < schedule.betas.size(); ++i)
    table.push_back(function(schedule.alphas_cumprod[i], schedule.alphas_cumprod_prev[i], schedule.betas[i]));
  return table;
}

at::Tensor at_steps(const NoiseSchedule& schedule, const at::Tensor& steps_B,
                    const std::function<double(double, double, double)>& function) {
  return table_at(table_of(schedule, function), steps_B);
}

// 1 where there is a step below, 0 at step 0: [B, 1, 1, 1].
at::Tensor above_the_last(const at::Tensor& steps_B) {
  return steps_B.ne(0).to(at::kFloat).view({-1, 1, 1, 1});
}

at::Tensor noise_of(const at::Tensor& output_BOSS, const NoisyLatents& latents) {
  return output_BOSS.slice(1, 0, latents.x_BCSS.size(1));
}

at::Tensor predicted_x0(const NoiseSchedule& schedule, const at::Tensor& noise_BCSS,
                        const NoisyLatents& latents) {
  const auto of = [&](const auto& function) { return at_steps(schedule, latents.steps_B, function); };
  return of([](double abar, double, double) { return std::sqrt(1.0 / abar); }) * latents.x_BCSS -
         of([](double abar, double, double) { return std::sqrt(1.0 / abar - 1.0); }) * noise_BCSS;
}

}  // namespace

at::Tensor table_at(const std::vector<double>& table, const at::Tensor& steps_B) {
  const at::Tensor entries = at::tensor(table, at::kDouble).to(steps_B.device());
  return entries.index_select(0, steps_B).to(at::kFloat).view({-1, 1, 1, 1});
}

at::Tensor timesteps_at(const NoiseSchedule& schedule, const at::Tensor& steps_B) {
  return at::tensor(schedule.timesteps, at::kLong).to(steps_B.device()).index_select(0, steps_B);
}

at::Tensor add_noise(const NoiseSchedule& schedule, const at::Tensor& x0_BCSS, const at::Tensor& steps_B,
                     const at::Tensor& noise_BCSS) {
  const auto of = [&](const auto& function) { return at_steps(schedule, steps_B, function); };
  return of([](double abar, double, double) { return std::sqrt(abar); }) * x0_BCSS +
         of([](double abar, double, double) { return std::sqrt(1.0 - abar); }) * noise_BCSS;
}

ReverseStep reverse_step(const NoiseSchedule& schedule, const at::Tensor& output_BOSS,
                         const NoisyLatents& latents) {
  const std::int64_t channels = latents.x_BCSS.size(1);
  if (output_BOSS.size(1) != 2 * channels)
    throw data::InputError("an output of " + std::to_string(output_BOSS.size(1)) +
                               " channels for latents of " + std::to_string(channels),
                           "the step's variance comes from the second half of the output",
                           "use a network that learns it (learn_sigma)");
  const at::Tensor fraction = (output_BOSS.slice(1, channels) + 1) / 2;
  const at::Tensor largest =
      at_steps(schedule, latents.steps_B, [](double, double, double beta) { return std::log(beta); });
  const at::Tensor smallest = table_at(schedule.posterior_log_variance_clipped, latents.steps_B);
  ReverseStep reverse;
  reverse.log_variance = fraction * largest + (1 - fraction) * smallest;
  reverse.predicted_x0 = predicted_x0(schedule, noise_of(output_BOSS, latents), latents);
  reverse.mean = table_at(schedule.posterior_mean_x0, latents.steps_B) * reverse.predicted_x0 +
                 table_at(schedule.posterior_mean_xt, latents.steps_B) * latents.x_BCSS;
  return reverse;
}

at::Tensor ddpm_sample(const ReverseStep& reverse, const at::Tensor& steps_B, const at::Tensor& draw_BCSS) {
  return reverse.mean + above_the_last(steps_B) * at::exp(0.5 * reverse.log_variance) * draw_BCSS;
}

at::Tensor ddim_sample(const NoiseSchedule& schedule, const at::Tensor& output_BOSS,
                       const NoisyLatents& latents, double eta, const at::Tensor& draw_BCSS) {
  if (!(eta >= 0.0 && eta <= 1.0))
    throw data::InputError("DDIM's eta is " + std::to_string(eta),
                           "0 is deterministic, 1 draws as much noise as the chain had", "choose 0 to 1");
  const auto deviation = [eta](double abar, double previous) {
    return eta * std::sqrt((1.0 - previous) / (1.0 - abar)) * std::sqrt(1.0 - abar / previous);
  };
  const auto of = [&](const auto& function) { return at_steps(schedule, latents.steps_B, function); };
  const at::Tensor noise = noise_of(output_BOSS, latents);
  const at::Tensor mean = of([](double, double previous, double) { return std::sqrt(previous); }) *
                              predicted_x0(schedule, noise, latents) +
                          of([&](double abar, double previous, double) {
                            const double sigma = deviation(abar, previous);
                            return std::sqrt(1.0 - previous - sigma * sigma);
                          }) * noise;
  if (eta == 0.0) return mean;
  const at::Tensor sigma =
      of([&](double abar, double previous, double) { return deviation(abar, previous); });
  return mean + above_the_last(latents.steps_B) * sigma * draw_BCSS;
}

}  // namespace bitlaw::distill
