// What a configuration's activations mean for the inputs of quantised layers: decided by the configuration
// alone, and refused before anything is loaded. Torch-free.
//
// Dynamic scales (strategies token and group) are made from each token at run time. A static scale (strategy
// tensor) is one number for a layer's whole input: an observer finds it, and a method may go on to learn it.
#pragma once

#include "quant/config.h"
#include "quant/observer_options.h"
#include "quant/spec.h"

namespace bitlaw::quant {

struct InputPlan {
  QuantSpec spec{QuantSpecFields{}};
  InputMethod method = InputMethod::fixed;
  ObserverOptions observer;  // static scales
};

inline bool is_static(const QuantSpec& spec) {
  return spec.fields().strategy == Strategy::tensor;
}

// InputError: fields that contradict each other, and what inputs cannot be.
InputPlan input_plan(const ActivationConfig& config);
// Whether inputs have scales that must be observed before they are used.
bool has_static_inputs(const QuantConfig& config);
// input_plan, and whether the configuration's method of weights goes with it. Nothing without activations.
void check_inputs(const QuantConfig& config);

}  // namespace bitlaw::quant
