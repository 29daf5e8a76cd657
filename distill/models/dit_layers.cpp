// Parts of the diffusion transformer.
#include "distill/models/dit_layers.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "distill/models/full_precision.h"
#include "distill/models/positions.h"
#include "distill/models/transformer_ops.h"

namespace bitlaw::distill {

namespace {

constexpr std::int64_t kTimestepFeatures = 256;

}  // namespace

PatchEmbedding::PatchEmbedding(const DitShape& shape) {
  proj_ = register_module(
      "proj", std::make_shared<quant::Conv2d>(shape.latent_channels, shape.width, shape.patch_size,
                                              quant::Conv2dOptions{.stride = shape.patch_size}));
}

at::Tensor PatchEmbedding::forward(const at::Tensor& x_BCSS) {
  const FullPrecision full(x_BCSS.device().type());
  return proj_->forward(x_BCSS).flatten(2).transpose(1, 2);
}

TimestepEmbedding::TimestepEmbedding(std::int64_t width) {
  const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>("mlp"));
  first_ = mlp->register_module("0", std::make_shared<FeatureEmbedding>(kTimestepFeatures, width));
  second_ = mlp->register_module("2", std::make_shared<FeatureEmbedding>(width, width));
}

at::Tensor TimestepEmbedding::forward(const at::Tensor& t_B) {
  const FullPrecision full(t_B.device().type());
  return second_->forward(at::silu(first_->forward(timestep_features(t_B, kTimestepFeatures))));
}

DitAttention::DitAttention(const DitShape& shape) : num_heads_(shape.num_heads) {
  qkv_ = register_module("qkv", std::make_shared<quant::Linear>(shape.width, 3 * shape.width));
  proj_ = register_module("proj", std::make_shared<quant::Linear>(shape.width, shape.width));
}

at::Tensor DitAttention::forward(const at::Tensor& x_BTW) {
  const at::Tensor qkv_3BHTD =
      qkv_->forward(x_BTW).unflatten(-1, {3, num_heads_, -1}).permute({2, 0, 3, 1, 4});
  const at::Tensor h_BHTD = at::scaled_dot_product_attention(qkv_3BHTD[0], qkv_3BHTD[1], qkv_3BHTD[2]);
  return proj_->forward(h_BHTD.transpose(1, 2).flatten(2));
}

DitBlock::DitBlock(const DitShape& shape) {
  const auto hidden =
      static_cast<std::int64_t>(std::llround(static_cast<double>(shape.width) * shape.mlp_ratio));
  attn_ = register_module("attn", std::make_shared<DitAttention>(shape));
  mlp_ = register_module("mlp", std::make_shared<FeedForward>(shape.width, hidden));
  ada_ln_ = register_module("adaLN_modulation", std::make_shared<AdaLin>(shape.width, 6));
}

at::Tensor DitBlock::forward(const at::Tensor& x_BTW, const at::Tensor& silu_cond_BW) {
  const std::vector<at::Tensor> vectors_BW = ada_ln_->forward(silu_cond_BW).unbind(1);
  const at::Tensor &shift_a = vectors_BW[0], &scale_a = vectors_BW[1], &gate_a = vectors_BW[2];
  const at::Tensor &shift_m = vectors_BW[3], &scale_m = vectors_BW[4], &gate_m = vectors_BW[5];
  const at::Tensor normed_BTW = modulated_norm(x_BTW, scale_a, shift_a, product_type(x_BTW));
  const Residual middle = gated_add_norm(x_BTW, attn_->forward(normed_BTW), gate_a, scale_m, shift_m);
  return gated_add(middle.sum, mlp_->forward(middle.normed), gate_m);
}

DitFinalLayer::DitFinalLayer(const DitShape& shape)
    : patch_size_(shape.patch_size), patches_per_side_(shape.latent_side / shape.patch_size) {
  const std::int64_t outputs = (shape.learn_sigma ? 2 : 1) * shape.latent_channels;
  linear_ = register_module(
      "linear", std::make_shared<quant::Linear>(shape.width, patch_size_ * patch_size_ * outputs));
  ada_ln_ = register_module("adaLN_modulation", std::make_shared<AdaLin>(shape.width, 2));
}

at::Tensor DitFinalLayer::forward(const at::Tensor& x_BTW, const at::Tensor& silu_cond_BW) {
  const at::Tensor vectors_B2W = ada_ln_->forward(silu_cond_BW);
  const at::Tensor shift_BW = vectors_B2W.select(1, 0), scale_BW = vectors_B2W.select(1, 1);
  const at::ScalarType type = product_type(x_BTW);
  const at::Tensor normed_BTW = modulated_norm(x_BTW, scale_BW, shift_BW, type);
  const at::Tensor patches = float_product(linear_->prepared_input(normed_BTW, type),
                                           linear_->weight_as(type), linear_->effective_bias());
  // [B, row, column, y in the patch, x in the patch, O]
  return patches.view({x_BTW.size(0), patches_per_side_, patches_per_side_, patch_size_, patch_size_, -1})
      .permute({0, 5, 1, 3, 2, 4})
      .flatten(4, 5)
      .flatten(2, 3);
}

}  // namespace bitlaw::distill
