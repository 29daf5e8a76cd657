// First values of the tokenizer: convolutions uniform in +-1/sqrt(fan in) as torch.nn.Conv2d, norms 1 and 0,
// codes uniform in +-1/V. (The publications train from scratch without stating theirs.)
#include <ATen/ATen.h>

#include <cmath>

#include "distill/models/initialise.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

namespace {

void initialise_module(const std::string& name, torch::nn::Module& module, std::uint64_t seed) {
  if (auto* convolution = dynamic_cast<quant::Conv2d*>(&module)) {
    const auto fan_in = static_cast<double>(convolution->weight[0].numel());
    fill_uniform(convolution->weight, name + ".weight", 1.0 / std::sqrt(fan_in), seed);
    fill_uniform(convolution->bias, name + ".bias", 1.0 / std::sqrt(fan_in), seed);
  } else if (auto* norm = dynamic_cast<quant::GroupNorm*>(&module)) {
    norm->weight.fill_(1);
    norm->bias.zero_();
  } else if (auto* embedding = dynamic_cast<quant::Embedding*>(&module)) {
    const auto codes = static_cast<double>(embedding->weight.size(0));
    fill_uniform(embedding->weight, name + ".weight", 1.0 / codes, seed);
  }
}

}  // namespace

void initialise(VqTokenizer& model, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const auto& item : model.named_modules(std::string(), /*include_self=*/false))
    initialise_module(item.key(), *item.value(), seed);
  for (const at::Tensor& buffer : model.buffers()) buffer.zero_();
}

}  // namespace bitlaw::distill
