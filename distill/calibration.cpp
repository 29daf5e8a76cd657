// The walk: measure a stage, quantise its layers, go on.
#include "distill/calibration.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "data/formats/input_error.h"
#include "distill/calibration_stages.h"
#include "distill/fold.h"
#include "quant/input_observation.h"
#include "quant/layer_errors.h"
#include "quant/methods/post_training.h"
#include "quant/prepare.h"

namespace bitlaw::distill {

namespace {

using quant::InputStatistics;
using quant::LayerCodes;

quant::Statistics measure(const Stage& stage, const CalibrationRun& run) {
  quant::Statistics mine;
  for (const StageLayer& layer : stage.layers) {
    layer.linear->set_input_observer(
        [&mine, name = layer.name](const at::Tensor& x) { quant::observe_input(mine, name, x); });
  }
  run.forward(stage.blocks);
  for (const StageLayer& layer : stage.layers) {
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
      for (const std::vector<StageLayer>& wave : consumers_first(stage.layers, folds_)) {
        std::vector<std::optional<InputStatistics>> inputs(wave.size());
        for (std::size_t i = 0; measured && i < wave.size(); ++i) {
          inputs[i] = checked_inputs(statistics, wave[i].name);
        }
        quantise(wave, inputs);
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
    for (const StageLayer& layer : stage.layers) {
      layer.linear->attach(layer.quantizer, std::nullopt);
      layer.linear->attach_inputs(layer.inputs);
    }
  }

  // Static scales of inputs follow from what meets the final weights: the transforms are decided, and
  // producers have absorbed what they absorb.
  void observe_inputs(std::span<const Stage> stages) {
    std::vector<quant::NamedLinear> layers;
    for (const Stage& stage : stages) {
      for (const StageLayer& layer : stage.layers) {
        layers.emplace_back(layer.name, layer.linear);
      }
    }
    quant::InputObservation observation(layers);
    if (!observation.empty()) {
      run_.forward(stages.back().blocks);
      observation.adopt(run_.reduce(observation.seen()));
    }
  }

  void quantise(const std::vector<StageLayer>& wave,
                const std::vector<std::optional<InputStatistics>>& inputs) {
    const auto make = [&](std::int64_t i) {
      return codes_of(wave[static_cast<std::size_t>(i)], inputs[static_cast<std::size_t>(i)]);
    };
    const auto codes = shared_codes(static_cast<std::int64_t>(wave.size()), make, run_.ranks);
    for (std::size_t i = 0; i < wave.size(); ++i) {
      take(wave[i], inputs[i], codes[i]);
    }
  }

  LayerCodes codes_of(const StageLayer& layer, const std::optional<InputStatistics>& inputs) {
    quant::LayerSurroundings surroundings;
    surroundings.first_clipped_row = layer.name.ends_with("mat_qkv") ? 2 * model_.shape().width : 0;
    if (const auto found = folds_.find(layer.name); found != folds_.end()) {
      surroundings.applicable_multiplier = [&, where = found->second](const at::Tensor& multiplier) {
        return exact_multiplier(where, weights_[where.bias], multiplier, config_.rest_dtype);
      };
    }
    return quant::naming(layer.name, [&] {
      return quantise_layer(weights_[layer.name + ".weight"], inputs, layer.quantizer->spec(), config_,
                            surroundings);
    });
  }

  void take(const StageLayer& layer, const std::optional<InputStatistics>& inputs, const LayerCodes& codes) {
    at::Tensor& weight = weights_[layer.name + ".weight"];
    const at::Tensor master = quant::naming(layer.name, [&] { return layer.quantizer->adopt(codes); });
    const at::Tensor change = layer.quantizer->input_transform().undone(master) - weight;
    layers_.push_back(summary(layer.name, inputs, weight, change));
    layers_.back().multiplier = place_multiplier(layer, codes);
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

  // A producer takes over the multiplier where one can. A rotation comes after it and stays with the layer.
  MultiplierPlace place_multiplier(const StageLayer& layer, const LayerCodes& codes) {
    const auto found = folds_.find(layer.name);
    if (!codes.input_multiplier.defined()) {
      return MultiplierPlace::none;
    }
    if (found == folds_.end()) {
      return MultiplierPlace::kept;
    }
    const Fold& where = found->second;
    fold(where, weights_[where.producer + ".weight"], weights_[where.bias], codes.input_multiplier);
    layer.quantizer->clear_input_multiplier();
    return MultiplierPlace::folded;
  }

  Var& model_;
  const quant::QuantConfig& config_;
  const CalibrationRun& run_;
  std::map<std::string, Fold> folds_;
  std::vector<Stage> stages_;
  PendingWeights weights_;
  std::vector<CalibratedLayer> layers_;
};

const char* word_of(MultiplierPlace place) {
  switch (place) {
    case MultiplierPlace::folded:
      return "folded";
    case MultiplierPlace::kept:
      return "kept";
    case MultiplierPlace::none:
      break;
  }
  return "-";
}

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
                  word_of(layer.multiplier));
    text += line;
  }
  return text;
}

}  // namespace bitlaw::distill
