// Exponential moving average of what the forward depends on: masters, quantiser scales and forward buffers.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "trainer/named_tensors.h"

namespace bitlaw::trainer {

// average <- average + (1 - decay) (value - average), by published name; starts as a copy. Integers (zero
// points) are copied, not averaged.
class Ema {
 public:
  Ema(torch::nn::Module& model, double decay);
  void update();
  void restart(const std::vector<std::string>& names);  // these averages become the present values

  const NamedTensors& averages() const { return averages_; }  // by name, without prefix
  void load(const NamedTensors& averages);                    // InputError when names or shapes differ

 private:
  NamedTensors values_;  // the model's own memory
  NamedTensors averages_;
  double decay_;
};

}  // namespace bitlaw::trainer
