// Stages of a level, under the names block.{i} and attn.{i}.
#include "distill/models/level_stages.h"

#include <string>

namespace bitlaw::distill {

std::vector<LevelStage> make_stages(torch::nn::Module& level, const StageShape& shape) {
  std::vector<LevelStage> stages;
  const auto blocks = level.register_module("block", std::make_shared<torch::nn::Module>("block"));
  std::shared_ptr<torch::nn::Module> attentions;
  if (shape.attention)
    attentions = level.register_module("attn", std::make_shared<torch::nn::Module>("attn"));
  for (std::int64_t i = 0; i < shape.blocks; ++i) {
    const std::string name = std::to_string(i);
    LevelStage stage;
    stage.block = blocks->register_module(
        name, std::make_shared<ResBlock>(i == 0 ? shape.in_channels : shape.out_channels, shape.out_channels,
                                         shape.groups));
    if (attentions)
      stage.attn =
          attentions->register_module(name, std::make_shared<AttnBlock>(shape.out_channels, shape.groups));
    stages.push_back(stage);
  }
  return stages;
}

std::int64_t level_width(const VqConfig& config, std::size_t level) {
  return config.base_channels * config.channel_multipliers.at(level);
}

Middle::Attention middle_attention(const VqConfig& config) {
  return config.attention ? Middle::Attention::yes : Middle::Attention::no;
}

}  // namespace bitlaw::distill
