// Activation checkpointing: a part of the graph keeps its inputs only and runs again in backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace bitlaw::distill {

// run(inputs), differentiable with respect to inputs and parameters. `run` must be a function of the inputs
// and of `parameters` (leaves that it uses without being given them) alone and give the same values each
// time; it is called once now, and once more in backward under the autocast setting of now. Gradients of
// parameters arrive at their accumulators as without checkpointing.
at::Tensor checkpointed(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& run,
                        const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& parameters);

}  // namespace bitlaw::distill
