// The walk: measure a stage, quantise its layers, go on.
#include "distill/calibration.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "data/formats/input_error.h"
#include "distill/fold.h"
#include "quant/input_observation.h"
#include "quant/methods/post_training.h"
#include "quant/prepare.h"

namespace bitlaw::distill {

namespace {

using quant::InputStatistics;
using quant::LayerCodes;
using quant::Linear;
using quant::Quantizer;

struct Layer {
  std::string name;
  Linear* linear = nullptr;
  std::shared_ptr<Quantizer> quantizer;           // kept here while the layer has none
  std::shared_ptr<quant::InputQuantizer> inputs;  // likewise
};

// Layers that are measured in one pass over the first `blocks` blocks.
struct Stage {
  std::int64_t blocks = 0;
  std::vector<Layer> layers;
};

// Block i is stage i + 1; what all blocks share comes before, the head after them.
std::int64_t blocks_before(const std::string& name, std::int64_t depth) {
  constexpr std::string_view kBlocks = "blocks.";
  if (name.starts_with(kBlocks)) {
    return std::stoll(name.substr(kBlocks.size())) + 1;
  }
  return name.starts_with("head") ? depth + 1 : 0;
}

// The layers that have quantizers, which are taken off them: until it is its turn, a layer is in full
// precision.
std::vector<Stage> take_stages(Var& model) {
  std::map<std::int64_t, Stage> stages;
  for (const auto& [name, linear] : quant::linear_layers(model)) {
    if (linear->weight_quantizer()) {
      Stage& stage = stages[blocks_before(name, model.shape().depth)];
      stage.blocks = blocks_before(name, model.shape().depth);
      stage.layers.push_back({name, linear, linear->weight_quantizer(), linear->input_quantizer()});
      linear->attach(nullptr, std::nullopt);
    }
  }
  std::vector<Stage> ordered;
  for (auto& [blocks, stage] : stages) {
    ordered.push_back(std::move(stage));
  }
  return ordered;
}

// Layers so that none comes before a layer whose multiplier it may absorb.
std::vector<Layer> consumers_first(std::vector<Layer> layers, const std::map<std::string, Fold>& folds) {
  std::vector<Layer> ordered;
  const auto is_awaited = [&](const Layer& producer) {
    return std::any_of(layers.begin(), layers.end(), [&](const Layer& consumer) {
      const auto found = folds.find(consumer.name);
      return found != folds.end() && found->second.producer == producer.name;
    });
  };
  while (!layers.empty()) {
    const auto next = std::find_if_not(layers.begin(), layers.end(), is_awaited);
    ordered.push_back(std::move(*next));
    layers.erase(next);
  }
  return ordered;
}

quant::Statistics measure(const Stage& stage, const CalibrationRun& run) {
  quant::Statistics mine;
  for (const Layer& layer : stage.layers) {
    layer.linear->set_input_observer(
        [&mine, name = layer.name](const at::Tensor& x) { quant::observe_input(mine, name, x); });
  }
  run.forward(stage.blocks);
  for (const Layer& layer : stage.layers) {
    layer.linear->set_input_observer(nullptr);
  }
  return run.reduce(mine);
}

InputStatistics checked_inputs(const quant::Statistics& statistics, const std::string& name) {
  InputStatistics inputs = quant::input_statistics(statistics, name);
  if (inputs.constant_channels() == inputs.in_features()) {
    throw data::InputError(name + ": the layer's input is the same for every calibration sample",
                           "a method that looks at inputs learns nothing from it",
                           "raise quant.calibration.samples, name a data set of several classes, or put the "
                           "layer into quant.ignore");
  }
  return inputs;
}

// New values of parameters that the model does not have yet: a layer and the producer that absorbs its
// multiplier change together.
class PendingWeights {
 public:
  explicit PendingWeights(Var& model) {
    for (const auto& item : model.named_parameters()) {
      parameters_.emplace(item.key(), item.value());
    }
  }
  // The present value, to be changed in place.
  at::Tensor& operator[](const std::string& name) {
    const auto [found, is_new] = values_.try_emplace(name);
    if (is_new) {
      found->second = parameters_.at(name).detach().clone();
    }
    return found->second;
  }
  void write() {
    const at::NoGradGuard no_grad;
    for (const auto& [name, value] : values_) {
      parameters_.at(name).copy_(value);
    }
    values_.clear();
  }

 private:
  std::map<std::string, at::Tensor> parameters_;
  std::map<std::string, at::Tensor> values_;
};

class Walk {
 public:
  Walk(Var& model, const quant::QuantConfig& config, const CalibrationRun& run)
      : model_(model),
        config_(config),
        run_(run),
        folds_(var_folds(model.shape())),
        stages_(take_stages(model)),
        weights_(model) {}

  std::vector<CalibratedLayer> run() {
    const bool measured = quant::needs_calibration(config_);
    for (const Stage& stage : stages_) {
      const quant::Statistics statistics = measured ? measure(stage, run_) : quant::Statistics();
      for (const Layer& layer : consumers_first(stage.layers, folds_)) {
        quantise(layer, measured ? std::optional(checked_inputs(statistics, layer.name)) : std::nullopt);
      }
      if (config_.calibration.inputs == quant::CalibrationInputs::quantised) {
        deploy(stage);
        observe_inputs({&stage, 1});
      }
    }
    if (config_.calibration.inputs == quant::CalibrationInputs::full) {
      for (const Stage& stage : stages_) {
        deploy(stage);
      }
      observe_inputs(stages_);
    }
    return std::move(layers_);
  }

 private:
  // Gives the layers of a stage their quantizers and masters.
  void deploy(const Stage& stage) {
    weights_.write();
    for (const Layer& layer : stage.layers) {
      layer.linear->attach(layer.quantizer, std::nullopt);
      layer.linear->attach_inputs(layer.inputs);
    }
  }

  // Static scales of inputs follow from what meets the final weights: the transforms are decided, and
  // producers have absorbed what they absorb.
  void observe_inputs(std::span<const Stage> stages) {
    std::vector<quant::NamedLinear> layers;
    for (const Stage& stage : stages) {
      for (const Layer& layer : stage.layers) {
        layers.emplace_back(layer.name, layer.linear);
      }
    }
    quant::InputObservation observation(layers);
    if (!observation.empty()) {
      run_.forward(stages.back().blocks);
      observation.adopt(run_.reduce(observation.seen()));
    }
  }

  void quantise(const Layer& layer, const std::optional<InputStatistics>& inputs) {
    const std::int64_t first_clipped = layer.name.ends_with("mat_qkv") ? 2 * model_.shape().width : 0;
    at::Tensor& weight = weights_[layer.name + ".weight"];
    LayerCodes codes;
    try {
      codes = quantise_layer(weight, inputs, layer.quantizer->spec(), config_, first_clipped);
    } catch (const data::InputError& error) {
      throw data::InputError(layer.name + ": " + error.what());
    }
    const at::Tensor master = layer.quantizer->adopt(codes);
    const at::Tensor change = layer.quantizer->input_transform().undone(master) - weight;
    layers_.push_back(summary(layer.name, inputs, weight, change));
    layers_.back().folded = absorb(layer, codes);
    weight = master;
  }

  static CalibratedLayer summary(const std::string& name, const std::optional<InputStatistics>& inputs,
                                 const at::Tensor& weight, const at::Tensor& change) {
    CalibratedLayer done;
    done.name = name;
    if (inputs) {
      done.rows = inputs->count;
      done.constant_channels = inputs->constant_channels();
      done.relative_error = inputs->output_error(change) / inputs->output_error(weight);
    } else {
      done.relative_error = (change.square().sum() / weight.square().sum()).item<double>();
    }
    return done;
  }

  // Whether a producer took over the multiplier. A rotation comes after it and stays with the layer.
  bool absorb(const Layer& layer, const LayerCodes& codes) {
    const auto found = folds_.find(layer.name);
    if (!codes.input_multiplier.defined() || found == folds_.end()) {
      return false;
    }
    const Fold& where = found->second;
    fold(where, weights_[where.producer + ".weight"], weights_[where.bias], codes.input_multiplier);
    layer.quantizer->clear_input_multiplier();
    return true;
  }

  Var& model_;
  const quant::QuantConfig& config_;
  const CalibrationRun& run_;
  std::map<std::string, Fold> folds_;
  std::vector<Stage> stages_;
  PendingWeights weights_;
  std::vector<CalibratedLayer> layers_;
};

}  // namespace

std::vector<CalibratedLayer> calibrate(Var& model, const quant::QuantConfig& config,
                                       const CalibrationRun& run) {
  const at::NoGradGuard no_grad;
  return Walk(model, config, run).run();
}

std::string to_string(const std::vector<CalibratedLayer>& layers) {
  std::string text = "layer                            rows     constant  relative error  input multiplier\n";
  for (const CalibratedLayer& layer : layers) {
    char line[160];
    std::snprintf(line, sizeof line, "%-32s %-8.0f %-9ld %-15.4g %s\n", layer.name.c_str(), layer.rows,
                  static_cast<long>(layer.constant_channels), layer.relative_error,
                  layer.folded ? "folded" : "-");
    text += line;
  }
  return text;
}

}  // namespace bitlaw::distill
