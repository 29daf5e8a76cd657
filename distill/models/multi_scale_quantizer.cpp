// Multi-scale residual quantisation: each scale's nearest codes, upsampled and passed through phi, are taken
// from what is left of the features.
#include <ATen/ATen.h>

#include <string>

#include "distill/models/full_precision.h"
#include "distill/models/nearest_code.h"
#include "distill/models/resampling.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

namespace {

std::int64_t side_of(const std::vector<std::int64_t>& patch_nums, std::int64_t scale) {
  return patch_nums[static_cast<std::size_t>(scale)];
}

// [B, C, p, p] -> [B, p*p, C], positions row-major
at::Tensor as_tokens(const at::Tensor& x_BCpp) {
  return x_BCpp.flatten(2).transpose(1, 2);
}

// Tokens of one scale out of all.
at::Tensor tokens_of_scale(const at::Tensor& tokens_BL, const std::vector<std::int64_t>& patch_nums,
                           std::int64_t scale) {
  std::int64_t first = 0;
  for (std::int64_t k = 0; k < scale; ++k) first += side_of(patch_nums, k) * side_of(patch_nums, k);
  return tokens_BL.narrow(1, first, side_of(patch_nums, scale) * side_of(patch_nums, scale));
}

std::int64_t last_scale_of(const std::vector<std::int64_t>& patch_nums) {
  return static_cast<std::int64_t>(patch_nums.size()) - 1;
}

}  // namespace

MultiScaleQuantizer::MultiScaleQuantizer(const VqConfig& config)
    : patch_nums_(config.patch_nums),
      commitment_(config.commitment),
      training_(config.codebook),
      phi_of_scale_(
          phi_of_scale(static_cast<std::int64_t>(config.patch_nums.size()), config.phi_convolutions)) {
  const std::int64_t width = config.latent_channels;
  const auto scales = static_cast<std::int64_t>(patch_nums_.size());
  embedding_ = register_module("embedding", std::make_shared<quant::Embedding>(config.codebook_size, width));
  const auto residual = register_module("quant_resi", std::make_shared<torch::nn::Module>("quant_resi"));
  const auto list = residual->register_module("qresi_ls", std::make_shared<torch::nn::Module>("qresi_ls"));
  for (std::int64_t i = 0; i < config.phi_convolutions; ++i)
    phi_.push_back(list->register_module(
        std::to_string(i),
        std::make_shared<quant::Conv2d>(width, width, 3, quant::Conv2dOptions{.stride = 1, .padding = 1})));
  register_buffer("ema_vocab_hit_SV", at::zeros({scales, config.codebook_size}));
  if (training_ == CodebookTraining::ema) {
    embedding_->weight.requires_grad_(false);
    averages_.counts = register_buffer("ema_counts", at::zeros({config.codebook_size}));
    averages_.sums = register_buffer("ema_sums", at::zeros({config.codebook_size, width}));
  }
}

quant::BufferRole MultiScaleQuantizer::buffer_role(std::string_view /*name*/) const {
  return quant::BufferRole::training;
}

at::Tensor MultiScaleQuantizer::codebook() const {
  return embedding_->weight;
}

at::Tensor MultiScaleQuantizer::codes() const {
  return rest(embedding_->weight);
}

MultiScaleQuantizer::CodebookAverages MultiScaleQuantizer::codebook_averages() const {
  return averages_;
}

// phi_k(upsample(e[tokens])): h/2 + conv(h)/2 at the full side.
at::Tensor MultiScaleQuantizer::decode_scale(const at::Tensor& codes_VC, const at::Tensor& tokens_BT,
                                             std::int64_t scale) const {
  const std::int64_t side = side_of(patch_nums_, scale);
  const at::Tensor h_BTC = at::embedding(codes_VC, tokens_BT);
  const at::Tensor h_BCpp = h_BTC.transpose(1, 2).reshape({tokens_BT.size(0), -1, side, side});
  const at::Tensor h_BCPP = bicubic_upsample(h_BCpp, patch_nums_.back());
  const auto phi = phi_of_scale_[static_cast<std::size_t>(scale)];
  return h_BCPP * 0.5 + phi_[static_cast<std::size_t>(phi)]->forward(h_BCPP) * 0.5;
}

// The vectors that scale k quantises: [B * p * p, C].
at::Tensor MultiScaleQuantizer::scale_inputs(const at::Tensor& rest_BCPP, std::int64_t scale) const {
  const at::Tensor z_BCpp = area_downsample(rest_BCPP, side_of(patch_nums_, scale));
  return as_tokens(z_BCpp).flatten(0, 1).contiguous();
}

at::Tensor MultiScaleQuantizer::encode(const at::Tensor& features_BCPP) const {
  const FullPrecision full(features_BCPP.device().type());
  const at::NoGradGuard no_grad;
  const at::Tensor codes_VC = codes();
  at::Tensor rest_BCPP = features_BCPP.to(at::kFloat);
  std::vector<at::Tensor> tokens;
  for (std::int64_t k = 0; k <= last_scale_of(patch_nums_); ++k) {
    tokens.push_back(nearest_code(scale_inputs(rest_BCPP, k), codes_VC).view({rest_BCPP.size(0), -1}));
    rest_BCPP = rest_BCPP - decode_scale(codes_VC, tokens.back(), k);
  }
  return at::cat(tokens, 1);
}

at::Tensor MultiScaleQuantizer::add_scale(const at::Tensor& fhat, const at::Tensor& tokens_BT,
                                          std::int64_t scale) const {
  const FullPrecision full(tokens_BT.device().type());
  const at::Tensor h_BCPP = decode_scale(codes(), tokens_BT, scale);
  return fhat.defined() ? fhat + h_BCPP : h_BCPP;
}

at::Tensor MultiScaleQuantizer::accumulate(const at::Tensor& tokens_BL, std::int64_t last_scale) const {
  at::Tensor fhat_BCPP;
  for (std::int64_t k = 0; k <= last_scale; ++k)
    fhat_BCPP = add_scale(fhat_BCPP, tokens_of_scale(tokens_BL, patch_nums_, k), k);
  return fhat_BCPP;
}

at::Tensor MultiScaleQuantizer::next_input(const at::Tensor& fhat, std::int64_t scale) const {
  const FullPrecision full(fhat.device().type());
  return as_tokens(area_downsample(fhat, side_of(patch_nums_, scale + 1)));
}

at::Tensor MultiScaleQuantizer::var_input(const at::Tensor& tokens_BL) const {
  at::Tensor fhat_BCPP;
  std::vector<at::Tensor> inputs;
  for (std::int64_t k = 0; k < last_scale_of(patch_nums_); ++k) {
    fhat_BCPP = add_scale(fhat_BCPP, tokens_of_scale(tokens_BL, patch_nums_, k), k);
    inputs.push_back(next_input(fhat_BCPP, k));
  }
  if (inputs.empty()) return codes().new_zeros({tokens_BL.size(0), 0, codes().size(1)});
  return at::cat(inputs, 1);
}

MultiScaleQuantizer::TrainOutput MultiScaleQuantizer::train_forward(const at::Tensor& features_BCPP) {
  const FullPrecision full(features_BCPP.device().type());
  const at::Tensor f_BCPP = features_BCPP.to(at::kFloat), constant_f_BCPP = f_BCPP.detach();
  const at::Tensor codes_VC = codes();
  at::Tensor rest_BCPP = constant_f_BCPP, fhat_BCPP;
  std::vector<at::Tensor> tokens, inputs;
  TrainOutput output;
  for (std::int64_t k = 0; k <= last_scale_of(patch_nums_); ++k) {
    const at::Tensor z_NC = scale_inputs(rest_BCPP, k);
    tokens.push_back(nearest_code(z_NC, codes_VC.detach()).view({f_BCPP.size(0), -1}));
    inputs.push_back(z_NC.view({f_BCPP.size(0), -1, z_NC.size(1)}));
    const at::Tensor h_BCPP = decode_scale(codes_VC, tokens.back(), k);
    fhat_BCPP = fhat_BCPP.defined() ? fhat_BCPP + h_BCPP : h_BCPP;
    rest_BCPP = rest_BCPP - h_BCPP.detach();
    const at::Tensor term =
        at::mse_loss(fhat_BCPP.detach(), f_BCPP) * commitment_ + at::mse_loss(fhat_BCPP, constant_f_BCPP);
    output.loss = output.loss.defined() ? output.loss + term : term;
  }
  output.loss = output.loss / static_cast<double>(patch_nums_.size());
  output.quantised = (fhat_BCPP - f_BCPP).detach() + f_BCPP;
  output.tokens = at::cat(tokens, 1);
  output.assigned_inputs = at::cat(inputs, 1).flatten(0, 1);  // in the order of tokens
  return output;
}

}  // namespace bitlaw::distill
