// The training loss of a diffusion network that predicts noise and variance (Nichol and Dhariwal, arXiv
// 2102.09672), as DiT uses it: the hybrid of the noise's squared error and the variational bound.
//
// Shapes: B samples, C channels, S side; the network's output is [B, 2C, S, S].
#pragma once

#include <ATen/core/Tensor.h>

#include "distill/diffusion_step.h"

namespace bitlaw::distill {

// Per sample, float32 [B], means over C, S, S.
struct DiffusionLoss {
  at::Tensor mse;  // (noise - predicted)^2: trains the predicted noise alone
  at::Tensor vb;   // in bits: trains v alone

  at::Tensor total() const { return mse + vb; }  // one loss a sample; train on their mean
};

// vb at step 0 is -log2 of the likelihood of x_0, discretised to 256 levels in [-1, 1]; at every other step
// KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) / ln 2. `latents` are add_noise(schedule, x0, steps, noise).
// InputError: an output without v.
DiffusionLoss diffusion_loss(const NoiseSchedule& schedule, const at::Tensor& output_BOSS,
                             const at::Tensor& x0_BCSS, const NoisyLatents& latents,
                             const at::Tensor& noise_BCSS);

}  // namespace bitlaw::distill
