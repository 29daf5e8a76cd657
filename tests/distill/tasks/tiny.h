// Networks, batches and an optimiser small enough for tests of tasks.
#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <memory>
#include <vector>

#include "data/batch.h"
#include "distill/make_task.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "distill/task.h"
#include "quant/containers/model_state.h"

namespace bitlaw::distill::tiny {

constexpr std::int64_t kClasses = 3;
constexpr std::int64_t kTokens = 21;  // 1 + 4 + 16
constexpr std::int64_t kVocabulary = 16;

inline VqConfig vq_config() {
  VqConfig config;
  config.image_channels = 1;
  config.base_channels = 8;
  config.channel_multipliers = {1, 1};  // images of 8 x 8
  config.res_blocks = 1;
  config.attention = false;
  config.middle = false;
  config.group_norm_groups = 4;
  config.latent_channels = 4;
  config.codebook_size = kVocabulary;
  config.patch_nums = {1, 2, 4};
  config.phi_convolutions = 3;
  return config;
}

inline ModelConfig var_config(std::int64_t depth = 2, std::int64_t width = 32) {
  ModelConfig config;
  config.depth = depth;
  config.width = width;
  config.ada_lin_gamma = 0.5;  // so that blocks matter from the start
  return config;
}

inline std::shared_ptr<VqTokenizer> make_tokenizer(std::uint64_t seed = 1) {
  auto tokenizer = std::make_shared<VqTokenizer>(vq_config());
  initialise(*tokenizer, seed);
  return tokenizer;
}

inline std::shared_ptr<Var> make_var(std::uint64_t seed, const ModelConfig& config = var_config()) {
  auto model = std::make_shared<Var>(var_shape(config, vq_config(), kClasses));
  initialise(*model, config.ada_lin_gamma, seed);
  const at::NoGradGuard no_grad;
  model->named_parameters()["head.weight"].mul_(100.0);  // logits that differ
  return model;
}

// Class c has its own tokens, with some noise.
inline data::Batch token_batch(std::int64_t first, std::int64_t count, std::int64_t step = 0) {
  data::Batch batch;
  batch.sample_ids = at::arange(first, first + count, at::kLong);
  batch.indices = batch.sample_ids;
  batch.labels = batch.sample_ids.remainder(kClasses);
  batch.tokens = (batch.labels.unsqueeze(1) * 5 + at::arange(kTokens, at::kLong).unsqueeze(0) * 3 +
                  batch.sample_ids.unsqueeze(1).remainder(2))
                     .remainder(kVocabulary);
  batch.step = step;
  return batch;
}

// Stripes whose direction and phase depend on the sample.
inline data::Batch image_batch(std::int64_t first, std::int64_t count, std::int64_t step = 0) {
  data::Batch batch = token_batch(first, count, step);
  batch.tokens = at::Tensor();
  const at::Tensor phase = batch.sample_ids.to(at::kFloat).view({-1, 1, 1, 1}) * 0.7;
  const at::Tensor slope = batch.labels.to(at::kFloat).view({-1, 1, 1, 1}) - 1.0;
  const at::Tensor x = at::arange(8, at::kFloat).view({1, 1, 1, 8});
  const at::Tensor y = at::arange(8, at::kFloat).view({1, 1, 8, 1});
  batch.images = at::sin(0.6 * x + slope * 0.5 * y + phase);
  return batch;
}

// Adam without decay, by the book.
class Adam {
 public:
  Adam(std::vector<NamedParameter> parameters, double lr) : parameters_(std::move(parameters)), lr_(lr) {
    for (const NamedParameter& parameter : parameters_) {
      first_.push_back(at::zeros_like(parameter.tensor));
      second_.push_back(at::zeros_like(parameter.tensor));
    }
  }
  void step() {
    const at::NoGradGuard no_grad;
    ++count_;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      at::Tensor& gradient = parameters_[i].tensor.mutable_grad();
      if (!gradient.defined()) {
        continue;
      }
      first_[i].mul_(0.9).add_(gradient, 0.1);
      second_[i].mul_(0.99).addcmul_(gradient, gradient, 0.01);
      const at::Tensor mean = first_[i] / (1.0 - std::pow(0.9, count_));
      const at::Tensor square = second_[i] / (1.0 - std::pow(0.99, count_));
      parameters_[i].tensor.sub_(lr_ * mean / (square.sqrt() + 1e-8));
      gradient.reset();
    }
  }

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<at::Tensor> first_, second_;
  double lr_;
  int count_ = 0;
};

inline double value(const at::Tensor& scalar) {
  return scalar.item<double>();
}

inline State copy_of_state(torch::nn::Module& model) {
  State copy;
  for (const auto& [name, tensor] : quant::state_of(model, quant::StateScope::deployed)) {
    copy[name] = tensor.detach().clone();
  }
  return copy;
}

}  // namespace bitlaw::distill::tiny
