// First values of a VAR transformer, as published: normal with deviation sqrt(1 / (3C)), biases 0, smaller
// where a layer feeds the residual stream, its gates or the logits.
#include <ATen/ATen.h>

#include <cmath>
#include <string_view>

#include "distill/models/initialise.h"
#include "distill/models/var.h"

namespace bitlaw::distill {

namespace {

// `gates`: of the six AdaLN vectors the first two; `others`: scales and shifts.
struct AdaLinFactors {
  double gates;
  double others = 0.5;
};

// vectors_6X: the six AdaLN vectors, or the rows that make them.
void scale_ada_lin(at::Tensor vectors_6X, const AdaLinFactors& factors) {
  vectors_6X.slice(0, 0, 2).mul_(factors.gates);
  vectors_6X.slice(0, 2, 6).mul_(factors.others);
}

void initialise_parameter(const std::string& name, at::Tensor& parameter, const VarShape& shape,
                          const AdaLinFactors& factors, std::uint64_t seed) {
  const std::string_view text = name;
  const double width = static_cast<double>(shape.width);
  if (text.ends_with("scale_mul_1H11")) {
    parameter.fill_(std::log(4.0));
  } else if (text.ends_with("bias")) {
    parameter.zero_();
  } else if (text.ends_with("ada_gss")) {
    fill_normal(parameter, name, 1.0 / std::sqrt(width), seed);
    scale_ada_lin(parameter.view({6, -1}), factors);
  } else {
    fill_normal(parameter, name, std::sqrt(1.0 / (3.0 * width)), seed);
    if (name == "head.weight") parameter.mul_(0.02);
    if (name == "head_nm.ada_lin.1.weight") parameter.mul_(factors.others);
    if (text.starts_with("blocks.") && text.ends_with("ada_lin.1.weight"))
      scale_ada_lin(parameter.view({6, -1}), factors);
    if (text.ends_with("attn.proj.weight") || text.ends_with("ffn.fc2.weight"))
      parameter.div_(std::sqrt(2.0 * static_cast<double>(shape.depth)));
  }
}

}  // namespace

void initialise(Var& model, double ada_lin_gamma, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const AdaLinFactors factors{.gates = ada_lin_gamma};
  for (auto& item : model.named_parameters())
    if (item.key().find("weight_quantizer") == std::string::npos)
      initialise_parameter(item.key(), item.value(), model.shape(), factors, seed);
}

}  // namespace bitlaw::distill
