// Contradictions between a configuration, its data set, its tokenizer and its teacher, found before anything
// runs.
#pragma once

#include <torch/nn/module.h>

#include "distill/make_task.h"
#include "distill/problems.h"

namespace bitlaw::distill {

// All that can be said without building a network.
void check_tokenizer_task(const TaskInputs& inputs, Problems& problems);
void check_var_task(const TaskInputs& inputs, Problems& problems);

// True when the tensors of `source` are those of `model` (constant buffers aside), and what no tensor shows
// (heads, sides of latents and of grids of tokens) is the same; else problems. `key` names the configuration
// key, with its value, for the message.
bool check_weights_fit(torch::nn::Module& model, const SourceModel& source, const std::string& key,
                       Problems& problems);

// A student that starts from a quantised model has its specs: layers whose masters were trained for, or
// rounded to, other numbers are named, with both specs.
void check_specs_fit(const quant::PrepareReport& report, const SourceModel& source, const std::string& key,
                     Problems& problems);

}  // namespace bitlaw::distill
