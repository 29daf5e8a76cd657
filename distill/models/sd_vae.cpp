// Stable Diffusion's autoencoder: encoder, distribution of latents, decoder.
#include "distill/models/sd_vae.h"

#include <ATen/ATen.h>

#include "distill/models/check_shapes.h"
#include "distill/models/full_precision.h"
#include "distill/models/sd_vae_layers.h"

namespace bitlaw::distill {

SdVae::SdVae(const SdVaeConfig& config) : config_(config) {
  check_geometry(config);
  const std::int64_t latent = config.latent_channels;
  encoder_ = register_module("encoder", std::make_shared<SdEncoder>(config));
  decoder_ = register_module("decoder", std::make_shared<SdDecoder>(config));
  quant_conv_ = register_module("quant_conv", std::make_shared<quant::Conv2d>(2 * latent, 2 * latent, 1));
  post_quant_conv_ = register_module("post_quant_conv", std::make_shared<quant::Conv2d>(latent, latent, 1));
}

SdVae::Distribution SdVae::encode(const at::Tensor& images_BCHW) {
  const FullPrecision full(images_BCHW.device().type());
  const auto halves = quant_conv_->forward(encoder_->forward(images_BCHW)).chunk(2, 1);
  return {halves[0], halves[1].clamp(-30.0, 20.0)};
}

at::Tensor SdVae::decode(const at::Tensor& latents_BCHW) {
  const FullPrecision full(latents_BCHW.device().type());
  return decoder_->forward(post_quant_conv_->forward(latents_BCHW));
}

}  // namespace bitlaw::distill
