// The parts of a DiT under their published names: patches, timestep, block, final layer.
//
// Shapes: B samples, C latent channels, S latent side, p patch side, T = (S/p)^2 patches, W width, O output
// channels.
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "distill/models/transformer_layers.h"
#include "distill/models/weights.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// "x_embedder": a convolution "proj" whose stride is its side. Never quantised. Float32.
class PatchEmbedding : public torch::nn::Module {
 public:
  explicit PatchEmbedding(const DitShape& shape);
  at::Tensor forward(const at::Tensor& x_BCSS);  // [B, T, W], row-major

 private:
  std::shared_ptr<quant::Conv2d> proj_;
};

// "t_embedder": mlp.0, SiLU, mlp.2 on 256 sines and cosines of t. Float32: one row a sample. An embedding,
// and therefore never quantised: a fine difference of t is what it has to tell.
class TimestepEmbedding : public torch::nn::Module {
 public:
  explicit TimestepEmbedding(std::int64_t width);
  at::Tensor forward(const at::Tensor& t_B);  // [B, W]

 private:
  std::shared_ptr<FeatureEmbedding> first_, second_;
};

// "attn": every patch sees every other; scores divided by the root of the head's width.
class DitAttention : public torch::nn::Module {
 public:
  explicit DitAttention(const DitShape& shape);
  at::Tensor forward(const at::Tensor& x_BTW);

 private:
  std::int64_t num_heads_;
  std::shared_ptr<quant::Linear> qkv_, proj_;
};

// x + gate_a attn(LN(x) (1 + scale_a) + shift_a), then the same with the MLP.
class DitBlock : public torch::nn::Module {
 public:
  explicit DitBlock(const DitShape& shape);
  // silu_cond: SiLU of the sum of the embeddings of timestep and label.
  at::Tensor forward(const at::Tensor& x_BTW, const at::Tensor& silu_cond_BW);

 private:
  std::shared_ptr<DitAttention> attn_;
  std::shared_ptr<FeedForward> mlp_;
  std::shared_ptr<AdaLin> ada_ln_;  // shift_a, scale_a, gate_a, shift_m, scale_m, gate_m
};

// "final_layer": linear(LN(x) (1 + scale) + shift), patches put back in place. Sums and result are float32.
class DitFinalLayer : public torch::nn::Module {
 public:
  explicit DitFinalLayer(const DitShape& shape);
  at::Tensor forward(const at::Tensor& x_BTW, const at::Tensor& silu_cond_BW);  // [B, O, S, S]

 private:
  std::int64_t patch_size_, patches_per_side_;
  std::shared_ptr<quant::Linear> linear_;
  std::shared_ptr<AdaLin> ada_ln_;  // shift, scale
};

}  // namespace bitlaw::distill
