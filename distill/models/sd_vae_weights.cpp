// List of Stable Diffusion's autoencoder.
#include "distill/models/weight_list.h"

namespace bitlaw::distill {

namespace {

void add_resnet(const std::string& name, std::int64_t in, std::int64_t out, WeightList& list) {
  list.norm(name + ".norm1", in);
  list.convolution(name + ".conv1", in, out);
  list.norm(name + ".norm2", out);
  list.convolution(name + ".conv2", out, out);
  if (in != out) list.convolution(name + ".conv_shortcut", in, out, 1);
}

// Attention between two residual blocks.
void add_mid_block(const std::string& name, std::int64_t channels, WeightList& list) {
  add_resnet(name + ".resnets.0", channels, channels, list);
  const std::string attention = name + ".attentions.0";
  list.norm(attention + ".group_norm", channels);
  for (const char* layer : {".query", ".key", ".value", ".proj_attn"}) {
    list.layer(attention + layer, {channels, channels});
  }
  add_resnet(name + ".resnets.1", channels, channels, list);
}

void add_encoder(const SdVaeConfig& config, WeightList& list) {
  std::int64_t width = config.channels.front();
  list.convolution("encoder.conv_in", config.image_channels, width);
  const auto levels = static_cast<std::int64_t>(config.channels.size());
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::int64_t out = config.channels[static_cast<std::size_t>(level)];
    for (std::int64_t block = 0; block < config.res_blocks; ++block) {
      const std::string resnet = "resnets." + std::to_string(block);
      add_resnet(indexed("encoder.down_blocks", level, resnet), width, out, list);
      width = out;
    }
    if (level + 1 < levels) {
      list.convolution(indexed("encoder.down_blocks", level, "downsamplers.0.conv"), out, out);
    }
  }
  add_mid_block("encoder.mid_block", width, list);
  list.norm("encoder.conv_norm_out", width);
  list.convolution("encoder.conv_out", width, 2 * config.latent_channels);
}

// Its levels are counted from the latents outwards.
void add_decoder(const SdVaeConfig& config, WeightList& list) {
  std::int64_t width = config.channels.back();
  list.convolution("decoder.conv_in", config.latent_channels, width);
  add_mid_block("decoder.mid_block", width, list);
  const auto levels = static_cast<std::int64_t>(config.channels.size());
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::int64_t out = config.channels[static_cast<std::size_t>(levels - 1 - level)];
    for (std::int64_t block = 0; block <= config.res_blocks; ++block) {
      const std::string resnet = "resnets." + std::to_string(block);
      add_resnet(indexed("decoder.up_blocks", level, resnet), width, out, list);
      width = out;
    }
    if (level + 1 < levels) {
      list.convolution(indexed("decoder.up_blocks", level, "upsamplers.0.conv"), out, out);
    }
  }
  list.norm("decoder.conv_norm_out", width);
  list.convolution("decoder.conv_out", width, config.image_channels);
}

}  // namespace

std::vector<WeightShape> sd_vae_weights(const SdVaeConfig& config) {
  WeightList list;
  const std::int64_t latent = config.latent_channels;
  add_encoder(config, list);
  add_decoder(config, list);
  list.convolution("quant_conv", 2 * latent, 2 * latent, 1);
  list.convolution("post_quant_conv", latent, latent, 1);
  return list.take();
}

}  // namespace bitlaw::distill
