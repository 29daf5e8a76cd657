// A lively VAR after its calibration, and how far it then is from full precision.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "distill/calibration.h"
#include "quant/methods/method_plan.h"
#include "quant/prepare.h"
#include "tests/distill/lively_var.h"

namespace bitlaw::distill {

inline constexpr std::int64_t kSamples = 24;

inline quant::QuantConfig config_of(quant::Method method, std::int64_t bits,
                                    std::vector<quant::TransformKind> transforms = {}) {
  quant::QuantConfig config;
  config.method = method;
  config.scale_search = quant::ScaleSearch::absmax;
  config.transforms = std::move(transforms);
  config.weights.num_bits = bits;
  config.weights.group_size = 16;
  config.ignore = {"head"};
  config.calibration.clip_steps = 20;
  return config;
}

// The samples of this rank, and a reduction that adds what the other ranks saw.
inline CalibrationRun run_over(Var& model, const VarInputs& inputs, std::int64_t first, std::int64_t last) {
  CalibrationRun run;
  run.forward = [&model, inputs, first, last](std::int64_t blocks) {
    const at::NoGradGuard no_grad;
    for (std::int64_t i = first; i < last; i += 4) {
      const at::Tensor labels = inputs.labels_B.slice(0, i, std::min(last, i + 4));
      const at::Tensor features = inputs.var_input_BLE.slice(0, i, std::min(last, i + 4));
      if (blocks > model.shape().depth) {
        model.forward(labels, features);
      } else {
        model.forward_blocks(labels, features, blocks);
      }
    }
  };
  run.reduce = [](const quant::Statistics& mine) { return mine; };
  return run;
}

struct Quantised {
  std::shared_ptr<Var> model;
  std::vector<CalibratedLayer> layers;
};

inline Quantised quantised(const quant::QuantConfig& config, const VarShape& shape = lively_shape()) {
  Quantised result{lively_var(shape), {}};
  quant::prepare(*result.model, config, quant::ScaleInit::from_weights);
  if (quant::is_calibrated(config)) {
    const VarInputs inputs = lively_inputs(shape, kSamples);
    result.layers = calibrate(*result.model, config, run_over(*result.model, inputs, 0, kSamples));
  }
  return result;
}

inline at::Tensor logits(Var& model) {
  const at::NoGradGuard no_grad;
  const VarInputs inputs = lively_inputs(model.shape(), kSamples);
  return model.forward(inputs.labels_B, inputs.var_input_BLE);
}

inline double relative_error(Var& model) {
  const auto full = lively_var(model.shape());
  full->apply([](torch::nn::Module& module) {
    if (auto* layer = dynamic_cast<quant::Layer*>(&module)) layer->set_rest_dtype(quant::RestType::bfloat16);
  });
  const at::Tensor expected = logits(*full);
  return ((logits(model) - expected).square().sum() / expected.square().sum()).item<double>();
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.sizes() == y.sizes() && std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

}  // namespace bitlaw::distill
