// What of a network's geometry no tensor shows: equal shapes, other outputs.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "distill/make_task.h"

namespace bitlaw::distill {

// Where `model`, one that make_model made, and the network that `source` was differ, of the same family:
// "model.num_heads is 16 there, 18 here". Heads as resolved, not as written. Scales of tokens are not
// compared: a tokenizer may be trained on at others, and what a VAR speaks is its tokenizer's.
std::vector<std::string> geometry_differences(const torch::nn::Module& model, const SourceModel& source);

}  // namespace bitlaw::distill
