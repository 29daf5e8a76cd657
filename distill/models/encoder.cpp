// Encoder of the tokenizer: names encoder.down.{level}.block.{i}, .attn.{i}, .downsample.conv.
#include "distill/models/encoder.h"

#include <ATen/ATen.h>

#include <string>

#include "distill/models/level_stages.h"

namespace bitlaw::distill {

Encoder::Encoder(const VqConfig& config) {
  const std::int64_t last_width = level_width(config, config.channel_multipliers.size() - 1);
  conv_in_ = register_module("conv_in", make_conv3x3(config.image_channels, config.base_channels));
  const auto down = register_module("down", std::make_shared<torch::nn::Module>("down"));
  for (std::size_t level = 0; level < config.channel_multipliers.size(); ++level)
    levels_.push_back(make_level(config, level, *down));
  if (config.middle)
    middle_ = register_module(
        "mid", std::make_shared<Middle>(last_width, config.group_norm_groups, middle_attention(config)));
  norm_out_ = register_module("norm_out", make_norm(config.group_norm_groups, last_width));
  conv_out_ = register_module("conv_out", make_conv3x3(last_width, config.latent_channels));
}

Encoder::Level Encoder::make_level(const VqConfig& config, std::size_t level,
                                   torch::nn::Module& parent) const {
  const bool last = level + 1 == config.channel_multipliers.size();
  const std::int64_t width_in = level == 0 ? config.base_channels : level_width(config, level - 1);
  const auto module =
      parent.register_module(std::to_string(level), std::make_shared<torch::nn::Module>("level"));
  Level made;
  made.stages = make_stages(*module, {.in_channels = width_in,
                                      .out_channels = level_width(config, level),
                                      .blocks = config.res_blocks,
                                      .groups = config.group_norm_groups,
                                      .attention = last && config.attention});
  if (!last)
    made.downsample =
        module->register_module("downsample", std::make_shared<Downsample>(level_width(config, level)));
  return made;
}

at::Tensor Encoder::forward(const at::Tensor& images_BCHW) {
  at::Tensor h = conv_in_->forward(images_BCHW);
  for (const Level& level : levels_) {
    for (const LevelStage& stage : level.stages) h = stage.forward(h);
    if (level.downsample) h = level.downsample->forward(h);
  }
  if (middle_) h = middle_->forward(h);
  return conv_out_->forward(at::silu(norm_out_->forward(h)));
}

}  // namespace bitlaw::distill
