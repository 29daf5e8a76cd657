#include "distill/block_training.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <numbers>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/containers/model_state.h"
#include "quant/layer_errors.h"
#include "quant/methods/adam.h"
#include "quant/methods/rtn.h"
#include "quant/prepare.h"
#include "quant/requantise.h"

namespace bitlaw::distill {

namespace {

using quant::Linear;
using quant::Quantizer;

constexpr double kLastRate = 1.0 / 20.0;  // of the first

struct Layer {
  std::string name;
  Linear* linear = nullptr;
  std::shared_ptr<Quantizer> quantizer;           // kept here while the layer has none
  std::shared_ptr<quant::InputQuantizer> inputs;  // likewise

  // Static scales are observed behind the trained weights: until then, inputs pass unquantised.
  std::shared_ptr<quant::InputQuantizer> usable_inputs() const {
    return inputs && inputs->is_static() ? nullptr : inputs;
  }
};

// What is trained of a block.
struct Trained {
  std::vector<at::Tensor> tensors;
  std::vector<double> rates;
  std::vector<quant::Adam> optimizers;

  void add(const at::Tensor& tensor, double rate) {
    tensors.push_back(tensor);
    rates.push_back(rate);
    optimizers.emplace_back(tensor);
  }
};

// Takes the quantizers off the layers that have one: until it is its turn, a layer is in full precision.
std::vector<Layer> take_quantizers(Var& model) {
  std::vector<Layer> layers;
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    if (linear->weight_quantizer()) {
      layers.push_back({name, linear, linear->weight_quantizer(), linear->input_quantizer()});
      linear->attach(nullptr, std::nullopt);
    }
  }
  return layers;
}

std::shared_ptr<Var> full_precision_copy(Var& model) {
  auto copy = std::make_shared<Var>(model.shape());
  quant::load_state(*copy, quant::state_of(model, quant::StateScope::deployed));
  return copy;
}

class BlockTraining {
 public:
  BlockTraining(Var& model, const quant::QuantConfig& config, const BlockSamples& samples)
      : model_(model),
        config_(config),
        options_(config.calibration),
        samples_(samples),
        layers_(take_quantizers(model)),
        full_(full_precision_copy(model)) {
    model.set_activation_checkpointing(false);  // one block's graph is small
  }

  std::vector<TrainedBlock> run() {
    for (const Layer& layer : layers_) {
      if (!layer.name.starts_with("blocks.")) {
        finish(layer, [&] {
          return quant::round_to_nearest(layer.linear->weight.detach(), layer.quantizer->spec(),
                                         {config_.scale_search, 2.0});
        });
      }
    }
    std::vector<TrainedBlock> trained;
    for (std::int64_t block = 0; block < model_.shape().depth; ++block) {
      std::vector<Layer> own;
      for (const Layer& layer : layers_) {
        if (layer.name.starts_with("blocks." + std::to_string(block) + ".")) {
          own.push_back(layer);
        }
      }
      if (!own.empty()) {
        trained.push_back(train(block, own));
      }
    }
    for (const Layer& layer : layers_) {
      layer.linear->attach_inputs(layer.inputs);
    }
    return trained;
  }

 private:
  TrainedBlock train(std::int64_t block, const std::vector<Layer>& layers) {
    TrainedBlock result{"blocks." + std::to_string(block), 0.0, 0.0};
    Trained trained = start(layers);
    result.first_loss = mean_loss(block, result.name);
    const std::int64_t steps = options_.block_epochs * samples_.batches;
    for (std::int64_t step = 0; step < steps; ++step) {
      const double angle = std::numbers::pi * static_cast<double>(step) / static_cast<double>(steps);
      update(block, step, trained, kLastRate + (1.0 - kLastRate) * 0.5 * (1.0 + std::cos(angle)));
    }
    for (const Layer& layer : layers) {
      finish(layer, [&] {
        return quant::codes_of(*layer.linear->weight_quantizer(), layer.linear->weight.detach());
      });
    }
    result.last_loss = mean_loss(block, result.name);
    return result;
  }

  // Gives the layers of a block quantizers that learn.
  Trained start(const std::vector<Layer>& layers) {
    Trained trained;
    for (const Layer& layer : layers) {
      const quant::QuantSpec& spec = layer.quantizer->spec();
      quant::LayerPlan plan;
      plan.zero_points =
          spec.has_zero_point() ? quant::ZeroPointTraining::learned : quant::ZeroPointTraining::fixed;
      const at::Tensor& weight = layer.linear->weight;
      auto learned =
          std::make_shared<Quantizer>(spec, quant::Method::lsq, weight.size(0), weight.size(1), plan);
      quant::naming(layer.name, [&] { learned->initialise(weight.detach(), config_.scale_search); });
      layer.linear->attach(learned, std::nullopt);
      layer.linear->attach_inputs(layer.usable_inputs());
      const double authors = spec.bits() == 2 ? 2e-5 : 1e-5;
      trained.add(weight, options_.block_lr > 0.0 ? options_.block_lr : authors);
      for (const at::Tensor& parameter : learned->parameters()) {
        trained.add(parameter, options_.block_scale_lr);
      }
    }
    return trained;
  }

  // Gives a layer its final quantizer and master.
  static void finish(const Layer& layer, const std::function<quant::LayerCodes()>& make_codes) {
    const at::NoGradGuard no_grad;
    layer.linear->weight.copy_(
        quant::naming(layer.name, [&] { return layer.quantizer->adopt(make_codes()); }));
    layer.linear->attach(layer.quantizer, std::nullopt);
    layer.linear->attach_inputs(layer.usable_inputs());
  }

  // Sum of square errors of the block's output for this rank's part of a batch.
  at::Tensor square_error(std::int64_t block, const TokenInput& input, quant::Statistics& sums) {
    at::Tensor x_BLC, target_BLC;
    {
      const at::NoGradGuard no_grad;
      target_BLC = full_->forward_blocks(input.labels_B, input.var_input_BLE, block + 1);
      x_BLC = model_.forward_blocks(input.labels_B, input.var_input_BLE, block);
    }
    const at::Tensor error = model_.forward_block(input.labels_B, x_BLC, block) - target_BLC;
    const at::Tensor sum = error.square().sum();
    sums.add("square_error", sum.item<double>());
    sums.add("elements", static_cast<double>(error.numel()));
    return sum;
  }

  static quant::Statistics nothing_seen() {
    quant::Statistics sums;
    sums.add("square_error", 0.0);
    sums.add("elements", 0.0);
    return sums;
  }

  static double loss_of(const quant::Statistics& merged, const std::string& name) {
    const double loss = merged.scalar("square_error") / merged.scalar("elements");
    if (!std::isfinite(loss)) {
      throw data::InputError(name + ": the error of the block's output is not finite",
                             "it has no gradient to follow",
                             "lower quant.calibration.block_lr or block_scale_lr, or give more bits");
    }
    return loss;
  }

  double mean_loss(std::int64_t block, const std::string& name) {
    const at::NoGradGuard no_grad;
    quant::Statistics sums = nothing_seen();
    for (std::int64_t i = 0; i < samples_.batches; ++i) {
      if (const auto input = samples_.part(i)) {
        square_error(block, *input, sums);
      }
    }
    return loss_of(samples_.reduce(sums), name);
  }

  void update(std::int64_t block, std::int64_t step, Trained& trained, double factor) {
    quant::Statistics sums = nothing_seen();
    std::vector<at::Tensor> gradients;
    if (const auto input = samples_.part(step % samples_.batches)) {
      const at::AutoGradMode with_graph(true);
      gradients = torch::autograd::grad({square_error(block, *input, sums)}, trained.tensors);
    }
    for (std::size_t i = 0; i < trained.tensors.size(); ++i) {
      sums.add("gradient " + std::to_string(i),
               gradients.empty() ? at::zeros_like(trained.tensors[i]) : gradients[i]);
    }
    const quant::Statistics merged = samples_.reduce(sums);
    loss_of(merged, "blocks." + std::to_string(block));
    for (std::size_t i = 0; i < trained.tensors.size(); ++i) {
      const at::Tensor gradient = merged.at("gradient " + std::to_string(i)) / merged.scalar("elements");
      trained.optimizers[i].step(trained.tensors[i], gradient.to(at::kFloat), trained.rates[i] * factor);
    }
  }

  Var& model_;
  const quant::QuantConfig& config_;
  const quant::CalibrationConfig& options_;
  const BlockSamples& samples_;
  std::vector<Layer> layers_;
  std::shared_ptr<Var> full_;
};

}  // namespace

std::vector<TrainedBlock> train_blocks(Var& model, const quant::QuantConfig& config,
                                       const BlockSamples& samples) {
  return BlockTraining(model, config, samples).run();
}

std::string to_string(const std::vector<TrainedBlock>& blocks) {
  std::string text = "block            error rounded    error trained\n";
  for (const TrainedBlock& block : blocks) {
    char line[96];
    std::snprintf(line, sizeof line, "%-16s %-16.4g %-16.4g\n", block.name.c_str(), block.first_loss,
                  block.last_loss);
    text += line;
  }
  return text;
}

}  // namespace bitlaw::distill
