// Encoder and decoder of Stable Diffusion's autoencoder.
#include "distill/models/sd_vae_layers.h"

#include <ATen/ATen.h>

#include <string>

namespace bitlaw::distill {

namespace {

using torch::nn::Module;

std::shared_ptr<Module> child(Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<Module>(name));
}

std::shared_ptr<ResBlock> make_resnet(std::int64_t in, std::int64_t out, std::int64_t groups) {
  return std::make_shared<ResBlock>(in, out, groups, "conv_shortcut");
}

struct Widths {
  std::int64_t in;
  std::int64_t out;
};

// "resnets.0", "resnets.1", ... in `level`; the first changes the width.
std::vector<std::shared_ptr<ResBlock>> add_resnets(Module& level, Widths widths, std::int64_t count,
                                                   std::int64_t groups) {
  const auto list = child(level, "resnets");
  std::vector<std::shared_ptr<ResBlock>> resnets;
  for (std::int64_t i = 0; i < count; ++i)
    resnets.push_back(list->register_module(
        std::to_string(i), make_resnet(i == 0 ? widths.in : widths.out, widths.out, groups)));
  return resnets;
}

}  // namespace

SdAttention::SdAttention(std::int64_t channels, std::int64_t groups) {
  const auto linear = [&](const std::string& name) {
    return register_module(name, std::make_shared<quant::Linear>(channels, channels));
  };
  group_norm_ = register_module("group_norm", make_norm(groups, channels));
  query_ = linear("query");
  key_ = linear("key");
  value_ = linear("value");
  proj_attn_ = linear("proj_attn");
}

at::Tensor SdAttention::forward(const at::Tensor& x_BCHW) {
  const at::Tensor normed_BNC = group_norm_->forward(x_BCHW).flatten(2).transpose(1, 2);
  const at::Tensor h_B1NC = at::scaled_dot_product_attention(query_->forward(normed_BNC).unsqueeze(1),
                                                             key_->forward(normed_BNC).unsqueeze(1),
                                                             value_->forward(normed_BNC).unsqueeze(1));
  return x_BCHW + proj_attn_->forward(h_B1NC.squeeze(1)).transpose(1, 2).reshape(x_BCHW.sizes());
}

SdMiddle::SdMiddle(std::int64_t channels, std::int64_t groups) {
  resnets_ = add_resnets(*this, {channels, channels}, 2, groups);
  attention_ =
      child(*this, "attentions")->register_module("0", std::make_shared<SdAttention>(channels, groups));
}

at::Tensor SdMiddle::forward(const at::Tensor& x_BCHW) {
  return resnets_[1]->forward(attention_->forward(resnets_[0]->forward(x_BCHW)));
}

SdEncoder::SdEncoder(const SdVaeConfig& config) {
  std::int64_t width = config.channels.front();
  conv_in_ = register_module("conv_in", make_conv3x3(config.image_channels, width));
  const auto blocks = child(*this, "down_blocks");
  for (std::size_t level = 0; level < config.channels.size(); ++level) {
    const std::int64_t out = config.channels[level];
    const auto block = child(*blocks, std::to_string(level));
    Level made{add_resnets(*block, {width, out}, config.res_blocks, config.group_norm_groups), nullptr};
    if (level + 1 < config.channels.size())
      made.downsample =
          child(*block, "downsamplers")->register_module("0", std::make_shared<Downsample>(out));
    levels_.push_back(made);
    width = out;
  }
  mid_block_ = register_module("mid_block", std::make_shared<SdMiddle>(width, config.group_norm_groups));
  conv_norm_out_ = register_module("conv_norm_out", make_norm(config.group_norm_groups, width));
  conv_out_ = register_module("conv_out", make_conv3x3(width, 2 * config.latent_channels));
}

at::Tensor SdEncoder::forward(const at::Tensor& images_BCHW) {
  at::Tensor h = conv_in_->forward(images_BCHW);
  for (const Level& level : levels_) {
    for (const auto& resnet : level.resnets) h = resnet->forward(h);
    if (level.downsample) h = level.downsample->forward(h);
  }
  return conv_out_->forward(at::silu(conv_norm_out_->forward(mid_block_->forward(h))));
}

SdDecoder::SdDecoder(const SdVaeConfig& config) {
  std::int64_t width = config.channels.back();
  conv_in_ = register_module("conv_in", make_conv3x3(config.latent_channels, width));
  mid_block_ = register_module("mid_block", std::make_shared<SdMiddle>(width, config.group_norm_groups));
  const auto blocks = child(*this, "up_blocks");
  for (std::size_t level = 0; level < config.channels.size(); ++level) {
    const std::int64_t out = config.channels[config.channels.size() - 1 - level];
    const auto block = child(*blocks, std::to_string(level));
    Level made{add_resnets(*block, {width, out}, config.res_blocks + 1, config.group_norm_groups), nullptr};
    if (level + 1 < config.channels.size())
      made.upsample = child(*block, "upsamplers")->register_module("0", std::make_shared<Upsample>(out));
    levels_.push_back(made);
    width = out;
  }
  conv_norm_out_ = register_module("conv_norm_out", make_norm(config.group_norm_groups, width));
  conv_out_ = register_module("conv_out", make_conv3x3(width, config.image_channels));
}

at::Tensor SdDecoder::forward(const at::Tensor& latents_BCHW) {
  at::Tensor h = mid_block_->forward(conv_in_->forward(latents_BCHW));
  for (const Level& level : levels_) {
    for (const auto& resnet : level.resnets) h = resnet->forward(h);
    if (level.upsample) h = level.upsample->forward(h);
  }
  return conv_out_->forward(at::silu(conv_norm_out_->forward(h)));
}

}  // namespace bitlaw::distill
