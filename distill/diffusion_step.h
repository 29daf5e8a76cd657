// One step of a diffusion chain, forwards and backwards, for networks that predict the noise and, within the
// range that theory leaves, the variance (Nichol and Dhariwal, arXiv 2102.09672).
//
// Shapes: B samples, C channels, S side. The network's output [B, 2C, S, S] is the noise, then v. Tables are
// looked up in float64 and rounded once; arithmetic on tensors is float32. Nothing is clipped.
#pragma once

#include <ATen/core/Tensor.h>

#include "distill/noise_schedule.h"

namespace bitlaw::distill {

// x_t, each sample at its own step of the schedule. The network is given schedule.timesteps at those steps.
struct NoisyLatents {
  at::Tensor x_BCSS;   // float32
  at::Tensor steps_B;  // int64
};

// Entries of a table at the steps of samples: float32 [B, 1, 1, 1], on the device of the steps.
at::Tensor table_at(const std::vector<double>& table, const at::Tensor& steps_B);
// int64 [B]: what the network is given at these steps.
at::Tensor timesteps_at(const NoiseSchedule& schedule, const at::Tensor& steps_B);

// sqrt(abar) x_0 + sqrt(1 - abar) noise.
at::Tensor add_noise(const NoiseSchedule& schedule, const at::Tensor& x0_BCSS, const at::Tensor& steps_B,
                     const at::Tensor& noise_BCSS);

// p(x_{t-1} | x_t): all float32 [B, C, S, S].
struct ReverseStep {
  at::Tensor mean;
  at::Tensor log_variance;  // (v + 1)/2 log beta + (1 - v)/2 of the clipped posterior's
  at::Tensor predicted_x0;  // x_t / sqrt(abar) - sqrt(1/abar - 1) noise
};
// InputError: an output without v.
ReverseStep reverse_step(const NoiseSchedule& schedule, const at::Tensor& output_BOSS,
                         const NoisyLatents& latents);

// x_{t-1}, given a standard normal draw of the latents' shape; step 0 takes the mean.
at::Tensor ddpm_sample(const ReverseStep& reverse, const at::Tensor& steps_B, const at::Tensor& draw_BCSS);
// DDIM (arXiv 2010.02502): deterministic at eta 0, where the draw may be undefined. The variance is not that
// of the network.
at::Tensor ddim_sample(const NoiseSchedule& schedule, const at::Tensor& output_BOSS,
                       const NoisyLatents& latents, double eta, const at::Tensor& draw_BCSS);

}  // namespace bitlaw::distill
