// Image -> latents of the tokenizer: levels of residual blocks, each but the last followed by a halving.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "distill/config.h"
#include "distill/models/conv_blocks.h"

namespace bitlaw::distill {

class Encoder : public torch::nn::Module {
 public:
  explicit Encoder(const VqConfig& config);
  at::Tensor forward(const at::Tensor& images_BCHW);  // [B, latent_channels, P, P], before quant_conv

 private:
  struct Level {
    std::vector<LevelStage> stages;
    std::shared_ptr<Downsample> downsample;  // empty at the last level
  };
  Level make_level(const VqConfig& config, std::size_t level, torch::nn::Module& parent) const;

  std::shared_ptr<quant::Conv2d> conv_in_, conv_out_;
  std::vector<Level> levels_;
  std::shared_ptr<Middle> middle_;  // empty when the configuration has none
  std::shared_ptr<quant::GroupNorm> norm_out_;
};

}  // namespace bitlaw::distill
