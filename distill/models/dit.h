// Diffusion transformer with adaLN-Zero (DiT, arXiv 2212.09748). State-dict names are the published ones.
//
// Shapes: B samples, C latent channels, S latent side, O output channels (2C where the variance is learned,
// else C), T patches (row-major), W width.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string_view>

#include "distill/models/weights.h"
#include "quant/layers.h"

namespace bitlaw::distill {

class Dit : public quant::Layer {
 public:
  explicit Dit(const DitShape& shape);  // InputError: a geometry that cannot be built
  ~Dit() override;

  // Latents with noise x float32 [B, C, S, S], timesteps t [B] of the full chain (0..999), labels int64 [B]
  // (num_classes = dropped) -> float32 [B, O, S, S]: predicted noise, then where learned the variance's v.
  at::Tensor forward(const at::Tensor& x_BCSS, const at::Tensor& t_B, const at::Tensor& labels_B);
  // The first `blocks` blocks of the same forward, without the final layer: float32 [B, T, W].
  at::Tensor forward_blocks(const at::Tensor& x_BCSS, const at::Tensor& t_B, const at::Tensor& labels_B,
                            std::int64_t blocks);
  // Classifier-free guidance as published: noise = uncond + scale (cond - uncond) in the first three channels
  // alone; every other channel is that of the labels. [B, O, S, S]
  at::Tensor forward_guided(const at::Tensor& x_BCSS, const at::Tensor& t_B, const at::Tensor& labels_B,
                            double scale);
  void set_activation_checkpointing(bool on);
  const DitShape& shape() const;
  // pos_embed is constant: a function of the geometry.
  quant::BufferRole buffer_role(std::string_view name) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// As published: linear layers and the patches' Xavier-uniform, label table and timestep layers normal with
// deviation 0.02, AdaLN layers and the last layer zero. Counter-based, by parameter name.
void initialise(Dit& model, std::uint64_t seed);

}  // namespace bitlaw::distill
