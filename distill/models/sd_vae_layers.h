// The halves of Stable Diffusion's autoencoder under the names of the published files.
//
// Shapes: x float32 [B, C, H, W].
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "distill/models/conv_blocks.h"
#include "distill/models/weights.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// "attentions.0": x + proj_attn(attention(query, key, value of norm x)), one head over all positions.
class SdAttention : public torch::nn::Module {
 public:
  SdAttention(std::int64_t channels, std::int64_t groups);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::shared_ptr<quant::GroupNorm> group_norm_;
  std::shared_ptr<quant::Linear> query_, key_, value_, proj_attn_;
};

// "mid_block": residual block, attention, residual block.
class SdMiddle : public torch::nn::Module {
 public:
  SdMiddle(std::int64_t channels, std::int64_t groups);
  at::Tensor forward(const at::Tensor& x_BCHW);

 private:
  std::vector<std::shared_ptr<ResBlock>> resnets_;
  std::shared_ptr<SdAttention> attention_;
};

class SdEncoder : public torch::nn::Module {
 public:
  explicit SdEncoder(const SdVaeConfig& config);
  at::Tensor forward(const at::Tensor& images_BCHW);  // [B, 2 latent_channels, H', W']

 private:
  struct Level {
    std::vector<std::shared_ptr<ResBlock>> resnets;
    std::shared_ptr<Downsample> downsample;  // empty at the last level
  };
  std::shared_ptr<quant::Conv2d> conv_in_, conv_out_;
  std::vector<Level> levels_;
  std::shared_ptr<SdMiddle> mid_block_;
  std::shared_ptr<quant::GroupNorm> conv_norm_out_;
};

class SdDecoder : public torch::nn::Module {
 public:
  explicit SdDecoder(const SdVaeConfig& config);
  at::Tensor forward(const at::Tensor& latents_BCHW);  // images, not clamped

 private:
  struct Level {
    std::vector<std::shared_ptr<ResBlock>> resnets;
    std::shared_ptr<Upsample> upsample;  // empty at the last level
  };
  std::shared_ptr<quant::Conv2d> conv_in_, conv_out_;
  std::vector<Level> levels_;  // from the latents outwards
  std::shared_ptr<SdMiddle> mid_block_;
  std::shared_ptr<quant::GroupNorm> conv_norm_out_;
};

}  // namespace bitlaw::distill
