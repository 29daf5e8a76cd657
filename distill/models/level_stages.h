// The residual blocks (and attention) of one level of the tokenizer's encoder or decoder.
#pragma once

#include <vector>

#include "distill/config.h"
#include "distill/models/conv_blocks.h"

namespace bitlaw::distill {

struct StageShape {
  std::int64_t in_channels = 0;  // of the first block; the others map out_channels to out_channels
  std::int64_t out_channels = 0;
  std::int64_t blocks = 0;
  std::int64_t groups = 0;
  bool attention = false;  // after each block
};

// Registers block.{i} and attn.{i} in `level`.
std::vector<LevelStage> make_stages(torch::nn::Module& level, const StageShape& shape);

std::int64_t level_width(const VqConfig& config, std::size_t level);
Middle::Attention middle_attention(const VqConfig& config);

}  // namespace bitlaw::distill
