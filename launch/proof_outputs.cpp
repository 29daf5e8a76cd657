#include "launch/proof_outputs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

#include "data/seed.h"
#include "distill/models/dit.h"
#include "distill/models/raster_ar.h"
#include "distill/models/sd_vae.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::launch {
namespace {

constexpr std::uint64_t kProofSeed = 20250106;

at::Tensor noise(at::IntArrayRef shape, std::uint64_t sample) {
  at::Tensor values = at::empty(shape, at::kFloat);
  const data::RandomKey key{kProofSeed, data::Purpose::synthetic, 0, sample};
  data::fill_normal(key, {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  return values;
}

at::Tensor two_labels(std::int64_t num_classes) {
  return at::arange(2, at::kLong).remainder(std::max<std::int64_t>(num_classes, 1));
}

std::vector<at::Tensor> outputs_of(distill::Var& model, std::int64_t num_classes) {
  const distill::VarShape& shape = model.shape();
  const std::int64_t first = shape.patch_nums.front() * shape.patch_nums.front();
  const std::int64_t rest = distill::token_count(shape.patch_nums) - first;
  return {model.forward(two_labels(num_classes), noise({2, rest, shape.latent_channels}, 0))};
}

std::vector<at::Tensor> outputs_of(distill::Dit& model, std::int64_t num_classes) {
  const distill::DitShape& shape = model.shape();
  const at::Tensor latents = noise({2, shape.latent_channels, shape.latent_side, shape.latent_side}, 0);
  return {model.forward(latents, at::tensor({20, 700}, at::kLong), two_labels(num_classes))};
}

std::vector<at::Tensor> outputs_of(distill::RasterAr& model, std::int64_t num_classes) {
  const distill::RasterShape& shape = model.shape();
  const std::int64_t given = shape.tokens_per_side * shape.tokens_per_side - 1;
  const at::Tensor tokens = (at::arange(2 * given, at::kLong) * 7919).remainder(shape.vocab_size);
  return {model.forward(two_labels(num_classes), tokens.view({2, given}))};
}

std::vector<at::Tensor> outputs_of(distill::SdVae& model) {
  const distill::SdVaeConfig& config = model.config();
  const std::int64_t side = std::int64_t{4} << (config.channels.size() - 1);
  const at::Tensor images = noise({2, config.image_channels, side, side}, 1).clamp(-1, 1);
  const distill::SdVae::Distribution latents = model.encode(images);
  return {latents.mean, latents.log_variance, model.decode(latents.mean)};
}

std::vector<at::Tensor> outputs_of(distill::VqTokenizer& model) {
  const std::int64_t side = model.image_side();
  const at::Tensor images = noise({2, model.config().image_channels, side, side}, 1).clamp(-1, 1);
  const at::Tensor tokens = model.encode(images);
  const auto last = static_cast<std::int64_t>(model.config().patch_nums.size()) - 1;
  return {tokens, model.decode(model.quantizer().accumulate(tokens, last))};
}

}  // namespace

std::vector<at::Tensor> proof_outputs(torch::nn::Module& model, std::int64_t num_classes) {
  if (auto* var = dynamic_cast<distill::Var*>(&model)) {
    return outputs_of(*var, num_classes);
  }
  if (auto* dit = dynamic_cast<distill::Dit*>(&model)) {
    return outputs_of(*dit, num_classes);
  }
  if (auto* raster = dynamic_cast<distill::RasterAr*>(&model)) {
    return outputs_of(*raster, num_classes);
  }
  if (auto* autoencoder = dynamic_cast<distill::SdVae*>(&model)) {
    return outputs_of(*autoencoder);
  }
  return outputs_of(dynamic_cast<distill::VqTokenizer&>(model));
}

}  // namespace bitlaw::launch
