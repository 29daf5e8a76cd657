// Decoder of the tokenizer: names decoder.up.{level}.block.{i}, .attn.{i}, .upsample.conv.
#include "distill/models/decoder.h"

#include <ATen/ATen.h>

#include <string>

#include "distill/models/level_stages.h"

namespace bitlaw::distill {

Decoder::Decoder(const VqConfig& config) {
  const std::int64_t last_width = level_width(config, config.channel_multipliers.size() - 1);
  const std::int64_t first_width = level_width(config, 0);
  conv_in_ = register_module("conv_in", make_conv3x3(config.latent_channels, last_width));
  if (config.middle)
    middle_ = register_module(
        "mid", std::make_shared<Middle>(last_width, config.group_norm_groups, middle_attention(config)));
  const auto up = register_module("up", std::make_shared<torch::nn::Module>("up"));
  for (std::size_t level = 0; level < config.channel_multipliers.size(); ++level)
    levels_.push_back(make_level(config, level, *up));
  norm_out_ = register_module("norm_out", make_norm(config.group_norm_groups, first_width));
  conv_out_ = register_module("conv_out", make_conv3x3(first_width, config.image_channels));
}

Decoder::Level Decoder::make_level(const VqConfig& config, std::size_t level,
                                   torch::nn::Module& parent) const {
  const std::size_t levels = config.channel_multipliers.size();
  const bool last = level + 1 == levels;
  const auto module =
      parent.register_module(std::to_string(level), std::make_shared<torch::nn::Module>("level"));
  Level made;
  made.stages = make_stages(*module, {.in_channels = level_width(config, last ? level : level + 1),
                                      .out_channels = level_width(config, level),
                                      .blocks = config.res_blocks + 1,
                                      .groups = config.group_norm_groups,
                                      .attention = last && config.attention});
  if (level > 0)
    made.upsample =
        module->register_module("upsample", std::make_shared<Upsample>(level_width(config, level)));
  return made;
}

at::Tensor Decoder::forward(const at::Tensor& latents_BCPP) {
  at::Tensor h = conv_in_->forward(latents_BCPP);
  if (middle_) h = middle_->forward(h);
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    for (const LevelStage& stage : level->stages) h = stage.forward(h);
    if (level->upsample) h = level->upsample->forward(h);
  }
  return conv_out_->forward(at::silu(norm_out_->forward(h)));
}

}  // namespace bitlaw::distill
