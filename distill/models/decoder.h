// Latents -> image of the tokenizer: the encoder's levels backwards, one residual block more in each.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "distill/config.h"
#include "distill/models/conv_blocks.h"

namespace bitlaw::distill {

class Decoder : public torch::nn::Module {
 public:
  explicit Decoder(const VqConfig& config);
  at::Tensor forward(const at::Tensor& latents_BCPP);  // [B, image_channels, side, side], not clamped

 private:
  struct Level {
    std::vector<LevelStage> stages;
    std::shared_ptr<Upsample> upsample;  // empty at level 0
  };
  Level make_level(const VqConfig& config, std::size_t level, torch::nn::Module& parent) const;

  std::shared_ptr<quant::Conv2d> conv_in_, conv_out_;
  std::shared_ptr<Middle> middle_;  // empty when the configuration has none
  std::vector<Level> levels_;       // by level; run from the last to the first
  std::shared_ptr<quant::GroupNorm> norm_out_;
};

}  // namespace bitlaw::distill
