// Codes of a prepared model (quant/prepare.h) that are not those of its first weights: given ones that stay,
// or those of another width.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

#include "quant/config.h"
#include "quant/pack.h"

namespace bitlaw::quant {

// Gives every quantizer of method e2e_qp the codes, scales and zero points of its layer in `weights`, by
// layer name. InputError, all problems at once and both specs named: layers that are quantised on one side
// only, another spec, shape or rotation. `origin`: where the weights come from, for messages.
void freeze_codes(torch::nn::Module& model, const std::map<std::string, PackedTensor>& weights,
                  const std::string& origin);

// Gives every layer whose spec under `config` is another one that spec, with scales found from its master
// weight by config.scale_search. Returns the names of the parameters and buffers that have new values.
std::vector<std::string> change_specs(torch::nn::Module& model, const QuantConfig& config);

}  // namespace bitlaw::quant
