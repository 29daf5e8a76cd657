// The convolutional building blocks of the tokenizer and the autoencoder: residual block, self-attention over
// positions, change of resolution. Names of parameters are those of the published tokenizer.
//
// Shapes: x float32 [B, C, H, W].
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "quant/layers.h"

namespace bitlaw::distill {

// x + conv2(silu(norm2(conv1(silu(norm1 x))))), with a 1x1 convolution on x, under the name `shortcut`, where
// the widths differ.
class ResBlock : public torch::nn::Module {
 public:
  ResBlock(std::int64_t in_channels, std::int64_t out_channels, std::int64_t groups,
           const std::string& shortcut = "nin_shortcut");
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::shared_ptr<quant::GroupNorm> norm1_, norm2_;
  std::shared_ptr<quant::Conv2d> conv1_, conv2_, shortcut_;
};

// x + proj_out(attention(qkv(norm x))): one head over all positions, scores divided by sqrt(C).
class AttnBlock : public torch::nn::Module {
 public:
  AttnBlock(std::int64_t channels, std::int64_t groups);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::shared_ptr<quant::GroupNorm> norm_;
  std::shared_ptr<quant::Conv2d> qkv_, proj_out_;
};

// Half the side: one row and column of zeros at the right and the bottom, then a 3x3 convolution of stride 2.
class Downsample : public torch::nn::Module {
 public:
  explicit Downsample(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::shared_ptr<quant::Conv2d> conv_;
};

// Twice the side: nearest neighbour, then a 3x3 convolution.
class Upsample : public torch::nn::Module {
 public:
  explicit Upsample(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::shared_ptr<quant::Conv2d> conv_;
};

// A residual block, and attention after it where the level has it.
struct LevelStage {
  std::shared_ptr<ResBlock> block;
  std::shared_ptr<AttnBlock> attn;  // may be empty

  at::Tensor forward(const at::Tensor& x_BCHW) const;
};

// The stages of the encoder's end and the decoder's beginning: "block_1", "attn_1", "block_2".
class Middle : public torch::nn::Module {
 public:
  enum class Attention { yes, no };
  Middle(std::int64_t channels, std::int64_t groups, Attention attention);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::shared_ptr<ResBlock> block_1_, block_2_;
  std::shared_ptr<AttnBlock> attn_1_;
};

std::shared_ptr<quant::Conv2d> make_conv3x3(std::int64_t in_channels, std::int64_t out_channels);
std::shared_ptr<quant::GroupNorm> make_norm(std::int64_t groups, std::int64_t channels);

}  // namespace bitlaw::distill
