// Post-training quantisation that looks at no inputs, of the linear layers of any network.
#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "distill/calibration.h"
#include "quant/config.h"

namespace bitlaw::distill {

// `model` was prepared with `config` (quant/prepare.h), its masters are full-precision weights, and neither
// method nor transforms need inputs (quant::needs_calibration). Masters become the weights that the codes
// stand for: those that calibrate() gives a VAR. Ranks share the layers. InputError, naming the layer: a
// method that cannot do a spec.
std::vector<CalibratedLayer> quantise_weights(torch::nn::Module& model, const quant::QuantConfig& config,
                                              const RankGroup& ranks = {});

}  // namespace bitlaw::distill
