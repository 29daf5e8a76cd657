// What two networks that must be one and the same are asked: outputs on fixed inputs.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

namespace bitlaw::launch {

// A model that distill::make_model made, in eval mode, with so many classes. VAR: logits of two sequences;
// tokenizer: tokens and pictures; DiT: noise and variance at two timesteps; LlamaGen: logits. The most
// telling comes last.
std::vector<at::Tensor> proof_outputs(torch::nn::Module& model, std::int64_t num_classes);

}  // namespace bitlaw::launch
