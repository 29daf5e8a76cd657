// First values of a DiT, as published. AdaLN layers and the last layer start at zero: every block starts as
// the identity.
#include <ATen/ATen.h>

#include <cmath>
#include <string_view>

#include "distill/models/dit.h"
#include "distill/models/initialise.h"

namespace bitlaw::distill {

namespace {

void initialise_parameter(const std::string& name, at::Tensor& parameter, std::uint64_t seed) {
  const std::string_view text = name;
  const bool closed =
      text.find("adaLN_modulation.") != std::string_view::npos || text.starts_with("final_layer.");
  if (closed || text.ends_with(".bias")) {
    parameter.zero_();
  } else if (text.starts_with("y_embedder.") || text.starts_with("t_embedder.")) {
    fill_normal(parameter, name, 0.02, seed);
  } else {  // Xavier-uniform; the patches' convolution as the matrix [width, inputs] that it is
    const auto outputs = static_cast<double>(parameter.size(0));
    const auto inputs = static_cast<double>(parameter.numel()) / outputs;
    fill_uniform(parameter, name, std::sqrt(6.0 / (inputs + outputs)), seed);
  }
}

}  // namespace

void initialise(Dit& model, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (auto& item : model.named_parameters())
    if (item.key().find("weight_quantizer") == std::string::npos)
      initialise_parameter(item.key(), item.value(), seed);
}

}  // namespace bitlaw::distill
