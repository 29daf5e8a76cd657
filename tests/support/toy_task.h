// A task that trains in milliseconds and has everything that a trainer must carry: quantised layers with
// learned scales, an unquantised norm, buffers of both saved roles, statistics, loss terms, randomness by
// sample.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "data/seed.h"
#include "data/synthetic_dataset.h"
#include "distill/task.h"
#include "quant/layers.h"
#include "quant/prepare.h"

namespace bitlaw::test {

// 8 inputs -> 16 -> 4. "level" follows the mean of the inputs (shapes the forward), "seen" counts samples.
class ToyModel : public quant::Layer {
 public:
  ToyModel() {
    first = register_module("first", std::make_shared<quant::Linear>(8, 16));
    second = register_module("second", std::make_shared<quant::Linear>(16, 4));
    gain = register_parameter("gain", at::ones({16}));
    unused = register_parameter("unused", at::ones({3}));
    level = register_buffer("level", at::zeros({8}));
    seen = register_buffer("seen", at::zeros({1}));
    const at::NoGradGuard no_grad;
    for (const auto& item : named_parameters()) {
      if (item.value().dim() == 2) {
        std::vector<float> values(static_cast<std::size_t>(item.value().numel()));
        data::fill_normal({7, data::Purpose::initialise, data::hash_name(item.key()), 0}, values);
        item.value().copy_(at::tensor(values).view_as(item.value()).mul(0.3));
      }
    }
  }
  quant::BufferRole buffer_role(std::string_view name) const override {
    return name == "seen" ? quant::BufferRole::training : quant::BufferRole::forward;
  }
  at::Tensor forward(const at::Tensor& x) {
    return second->forward(at::tanh(first->forward(x - level)) * rest(gain));
  }

  std::shared_ptr<quant::Linear> first;
  std::shared_ptr<quant::Linear> second;
  at::Tensor gain;
  at::Tensor unused;
  at::Tensor level;
  at::Tensor seen;
};

class ToyTask : public distill::Task {
 public:
  ToyTask() {
    quant::QuantConfig config;
    config.method = quant::Method::lsq;
    config.weights.num_bits = 4;
    config.weights.strategy = quant::Strategy::group;
    config.weights.group_size = 8;
    quant::prepare(model_, config, quant::ScaleInit::from_weights);
  }

  distill::LossTerms loss(const data::Batch& batch) override {
    if (before_loss) {
      before_loss(batch);
    }
    const at::Tensor x = inputs(batch) + noise(batch);
    const at::Tensor error = (model_.forward(x).to(at::kFloat) - targets(batch)).pow(2).mean();
    const at::Tensor gain_term = model_.gain.pow(2).mean() * 1e-3;
    const at::Tensor poison =
        at::full({}, is_poisoned(batch) ? std::numeric_limits<double>::quiet_NaN() : 0.0);
    statistics_.add("sum", inputs(batch).sum(0));
    statistics_.add("count", static_cast<double>(batch.size()));
    statistics_.maximum("largest", inputs(batch).amax());
    const at::Tensor total = error + gain_term + poison.to(at::kFloat);
    return {total, {{"error", (error + poison.to(at::kFloat)).detach()}, {"gain", gain_term.detach()}}};
  }
  torch::nn::Module& model() override { return model_; }
  quant::Statistics take_statistics() override { return std::exchange(statistics_, {}); }
  void end_step(const quant::Statistics& reduced, std::int64_t /*step*/) override {
    const at::NoGradGuard no_grad;
    model_.level.lerp_((reduced.at("sum") / reduced.scalar("count")).to(at::kFloat), 0.1);
    model_.seen.add_(reduced.scalar("count"));
  }
  quant::Statistics evaluate(const data::Batch& batch) override {
    quant::Statistics sums;
    sums.add(
        "loss_sum",
        (model_.forward(inputs(batch)).to(at::kFloat) - targets(batch)).pow(2).sum().to(at::kDouble) / 3.0);
    sums.add("samples", static_cast<double>(batch.size()));
    sums.maximum("last", batch.sample_ids.max().to(at::kDouble));
    return sums;
  }
  std::vector<std::pair<std::string, double>> report(const quant::Statistics& merged) const override {
    return {{"error", merged.scalar("loss_sum") / merged.scalar("samples")}};
  }
  std::int64_t tokens_per_sample() const override { return 1; }

  ToyModel& toy() { return model_; }
  std::int64_t poisoned_sample = -1;  // its loss is nan
  std::function<void(const data::Batch&)> before_loss =
      {};  // what a test wants to happen in the middle of a step

 private:
  static at::Tensor inputs(const data::Batch& batch) { return batch.images.flatten(1); }
  static at::Tensor targets(const data::Batch& batch) { return at::one_hot(batch.labels, 4).to(at::kFloat); }
  // As dropout would be: a function of step and sample alone.
  static at::Tensor noise(const data::Batch& batch) {
    at::Tensor noise = at::zeros({batch.size(), 8});
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const auto sample = static_cast<std::uint64_t>(batch.sample_ids[i].item<std::int64_t>());
      data::fill_normal({7, data::Purpose::augment, static_cast<std::uint64_t>(batch.step), sample},
                        {noise.data_ptr<float>() + i * 8, 8});
    }
    return noise * 0.05;
  }
  bool is_poisoned(const data::Batch& batch) const {
    return (batch.sample_ids == poisoned_sample).any().item<bool>();
  }

  ToyModel model_;
  quant::Statistics statistics_;
};

inline std::shared_ptr<const data::Dataset> toy_dataset(std::int64_t size) {
  data::SyntheticOptions options;
  options.kind = "images";
  options.size = size;
  options.num_classes = 4;
  options.shape = {1, 2, 4};
  options.seed = 5;
  return std::make_shared<data::SyntheticDataset>(options);
}

}  // namespace bitlaw::test
