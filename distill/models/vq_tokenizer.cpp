// The tokenizer: encoder, multi-scale quantiser, decoder.
#include "distill/models/vq_tokenizer.h"

#include <ATen/ATen.h>

#include <string>

#include "distill/models/check_vq.h"
#include "distill/models/decoder.h"
#include "distill/models/encoder.h"

namespace bitlaw::distill {

VqTokenizer::VqTokenizer(const VqConfig& config) : config_(config) {
  check_geometry(config);
  const std::int64_t width = config.latent_channels;
  encoder_ = register_module("encoder", std::make_shared<Encoder>(config));
  decoder_ = register_module("decoder", std::make_shared<Decoder>(config));
  quantizer_ = register_module("quantize", std::make_shared<MultiScaleQuantizer>(config));
  quant_conv_ = register_module("quant_conv", make_conv3x3(width, width));
  post_quant_conv_ = register_module("post_quant_conv", make_conv3x3(width, width));
}

at::Tensor VqTokenizer::features(const at::Tensor& images_BCHW) {
  return quant_conv_->forward(encoder_->forward(images_BCHW)).to(at::kFloat);
}

at::Tensor VqTokenizer::encode(const at::Tensor& images_BCHW) {
  return quantizer_->encode(features(images_BCHW));
}

at::Tensor VqTokenizer::decode(const at::Tensor& fhat_BCPP) {
  return decode_unclamped(fhat_BCPP).clamp(-1, 1);
}

at::Tensor VqTokenizer::decode_unclamped(const at::Tensor& fhat_BCPP) {
  return decoder_->forward(post_quant_conv_->forward(fhat_BCPP)).to(at::kFloat);
}

std::int64_t VqTokenizer::image_side() const {
  return config_.patch_nums.back() << (config_.channel_multipliers.size() - 1);
}

}  // namespace bitlaw::distill
