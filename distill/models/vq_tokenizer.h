// Multi-scale residual VQ tokenizer (VAR, arXiv 2404.02905). State-dict names are the published ones.
//
// Shapes: B images, C channels, H = W = side; latents [B, latent_channels, P, P] with P = patch_nums.back();
// L = sum of patch_nums^2 tokens, row-major inside a scale, scales concatenated.
#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "data/seed.h"
#include "distill/config.h"
#include "quant/layers.h"
#include "quant/statistics.h"

namespace bitlaw::distill {

class Encoder;
class Decoder;

std::int64_t token_count(const std::vector<std::int64_t>& patch_nums);
std::vector<std::int64_t> phi_of_scale(std::int64_t scales,
                                       std::int64_t convolutions);  // index of each scale's conv

class MultiScaleQuantizer : public quant::Layer {
 public:
  explicit MultiScaleQuantizer(const VqConfig& config);

  // f float32 [B, Cvae, P, P] -> tokens int64 [B, L].
  at::Tensor encode(const at::Tensor& features_BCPP) const;
  // Sum over scales 0..last of phi(upsample(codes)); [B, Cvae, P, P].
  at::Tensor accumulate(const at::Tensor& tokens_BL, std::int64_t last_scale) const;
  // One scale more: fhat + phi_k(upsample(e[tokens of scale k])).
  at::Tensor add_scale(const at::Tensor& fhat, const at::Tensor& tokens_BT, std::int64_t scale) const;
  // Input of scale k + 1: area_downsample(fhat, p_{k+1}) as [B, p*p, Cvae].
  at::Tensor next_input(const at::Tensor& fhat, std::int64_t scale) const;
  // Teacher-forcing features [B, L - patch_nums[0]^2, Cvae].
  at::Tensor var_input(const at::Tensor& tokens_BL) const;

  struct TrainOutput {
    at::Tensor quantised;  // straight-through output, [B, Cvae, P, P]
    at::Tensor loss;       // mean over scales of beta * commitment + codebook term
    at::Tensor tokens;     // [B, L]
    at::Tensor
        assigned_inputs;  // float32 [B*L, Cvae]: the vectors that were assigned, in the order of tokens
  };
  TrainOutput train_forward(const at::Tensor& features_BCPP);

  // The master codes [V, Cvae]: the parameter itself, which CodebookTraining::ema updates in place (it has no
  // gradient then).
  at::Tensor codebook() const;

  // Moving averages of codebook training: buffers of BufferRole::training, zero until the first step. The
  // tensors share the buffers' memory.
  struct CodebookAverages {
    at::Tensor counts;  // buffer "ema_counts", float32 [V]: vectors that a step assigns to each code
    at::Tensor sums;    // buffer "ema_sums", float32 [V, Cvae]: sums of those vectors
  };
  CodebookAverages codebook_averages() const;  // undefined tensors unless the codebook is trained by ema

  quant::BufferRole buffer_role(std::string_view name) const override;
  const std::vector<std::int64_t>& patch_nums() const { return patch_nums_; }

 private:
  at::Tensor codes() const;  // as the forward uses them
  at::Tensor decode_scale(const at::Tensor& codes_VC, const at::Tensor& tokens_BT, std::int64_t scale) const;
  at::Tensor scale_inputs(const at::Tensor& rest_BCPP, std::int64_t scale) const;

  std::vector<std::int64_t> patch_nums_;
  double commitment_;
  CodebookTraining training_;
  std::vector<std::int64_t> phi_of_scale_;
  std::shared_ptr<quant::Embedding> embedding_;
  std::vector<std::shared_ptr<quant::Conv2d>> phi_;
  CodebookAverages averages_;
};

// Moving averages and usage counts aside, everything is differentiable. The quantiser runs in float32
// whatever autocast says.
class VqTokenizer : public quant::Layer {
 public:
  explicit VqTokenizer(const VqConfig& config);  // InputError: a geometry that cannot be built

  at::Tensor features(const at::Tensor& images_BCHW);  // after quant_conv
  at::Tensor encode(const at::Tensor& images_BCHW);    // tokens int64 [B, L]
  at::Tensor decode(const at::Tensor& fhat_BCPP);      // clamped to [-1, 1]
  at::Tensor decode_unclamped(const at::Tensor& fhat_BCPP);
  MultiScaleQuantizer& quantizer() { return *quantizer_; }
  const VqConfig& config() const { return config_; }
  std::int64_t image_side() const;

 private:
  VqConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Decoder> decoder_;
  std::shared_ptr<MultiScaleQuantizer> quantizer_;
  std::shared_ptr<quant::Conv2d> quant_conv_, post_quant_conv_;
};

void initialise(VqTokenizer& model, std::uint64_t seed);  // counter-based, by parameter name

}  // namespace bitlaw::distill
