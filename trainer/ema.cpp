#include "trainer/ema.h"

#include <ATen/ATen.h>

#include "quant/containers/model_state.h"

namespace bitlaw::trainer {

Ema::Ema(torch::nn::Module& model, double decay)
    : values_(quant::state_of(model, quant::StateScope::deployed)), decay_(decay) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, value] : values_) {
    averages_.emplace(name, value.detach().clone());
  }
}

void Ema::update() {
  const at::NoGradGuard no_grad;
  for (auto& [name, average] : averages_) {
    const at::Tensor& value = values_.at(name);
    if (value.is_floating_point()) {
      average.lerp_(value, 1.0 - decay_);
    } else {
      average.copy_(value);
    }
  }
}

void Ema::restart(const std::vector<std::string>& names) {
  const at::NoGradGuard no_grad;
  for (const std::string& name : names) {
    averages_.at(name).copy_(values_.at(name));
  }
}

void Ema::load(const NamedTensors& averages) {
  copy_by_name(averages_, averages, "the moving average");
}

}  // namespace bitlaw::trainer
