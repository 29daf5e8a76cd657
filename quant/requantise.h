// Codes of a prepared model (quant/prepare.h) that are not those of its first weights: given ones that stay,
// or those of another width; and masters that are what their codes stand for.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

#include "quant/config.h"
#include "quant/pack.h"
#include "quant/packed_input.h"
#include "quant/quantizer.h"

namespace bitlaw::quant {

// Gives every quantizer of method e2e_qp the codes, scales and zero points of its layer in `weights`, by
// layer name. InputError, all problems at once and both specs named: layers that are quantised on one side
// only, another spec, shape or rotation. `origin`: where the weights come from, for messages.
void freeze_codes(torch::nn::Module& model, const std::map<std::string, PackedTensor>& weights,
                  const std::string& origin);

// Gives every static scale of inputs that of its layer in `inputs`, by layer name; layers that are not there
// wait for an observation. InputError, all problems at once and both specs named: inputs of another spec, or
// that are quantised there and not here.
void adopt_inputs(torch::nn::Module& model, const std::map<std::string, PackedInput>& inputs,
                  const std::string& origin);

// What `quantizer` makes of a weight: its codes, and the quantizer's scales and zero points.
LayerCodes codes_of(Quantizer& quantizer, const at::Tensor& weight);

// Makes every master with fixed scales the weights that its codes stand for, which have the same codes again.
// InputError, naming the layer: they would have others.
void round_masters(torch::nn::Module& model);

// Gives every layer whose spec under `config` is another one that spec, with scales found from its master
// weight by config.scale_search. Returns the names of the parameters and buffers that have new values.
std::vector<std::string> change_specs(torch::nn::Module& model, const QuantConfig& config);

}  // namespace bitlaw::quant
