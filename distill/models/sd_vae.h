// Stable Diffusion's autoencoder (arXiv 2112.10752): between images and the latents of DiT. State-dict names
// are those of the published files (weights.h). Float32 whatever autocast says.
//
// Shapes: B images of [image_channels, H, W], H and W multiples of f = 2^(levels - 1); latents
// [B, latent_channels, H/f, W/f].
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "distill/models/weights.h"
#include "quant/layers.h"

namespace bitlaw::distill {

class SdEncoder;
class SdDecoder;

// DiT is trained on this times a latent drawn from the encoder's distribution.
inline constexpr double kSdLatentScale = 0.18215;

class SdVae : public quant::Layer {
 public:
  explicit SdVae(const SdVaeConfig& config = {});  // InputError: a geometry that cannot be built

  struct Distribution {
    at::Tensor mean;          // of the latents, unscaled
    at::Tensor log_variance;  // clamped to [-30, 20]
  };
  Distribution encode(const at::Tensor& images_BCHW);  // images in [-1, 1]
  at::Tensor decode(const at::Tensor& latents_BCHW);   // unscaled latents -> images, not clamped
  const SdVaeConfig& config() const { return config_; }

 private:
  SdVaeConfig config_;
  std::shared_ptr<SdEncoder> encoder_;
  std::shared_ptr<SdDecoder> decoder_;
  std::shared_ptr<quant::Conv2d> quant_conv_, post_quant_conv_;
};

}  // namespace bitlaw::distill
