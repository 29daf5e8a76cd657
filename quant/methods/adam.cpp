#include "quant/methods/adam.h"

#include <ATen/ATen.h>

#include <cmath>

namespace bitlaw::quant {

Adam::Adam(const at::Tensor& like)
    : mean_(at::zeros_like(like, at::TensorOptions().requires_grad(false))), square_(mean_.clone()) {}

void Adam::step(const at::Tensor& parameter, const at::Tensor& gradient, double learning_rate) {
  constexpr double kBeta1 = 0.9;
  constexpr double kBeta2 = 0.999;
  constexpr double kEps = 1e-8;
  const at::NoGradGuard no_grad;
  ++count_;
  mean_.mul_(kBeta1).add_(gradient, 1.0 - kBeta1);
  square_.mul_(kBeta2).addcmul_(gradient, gradient, 1.0 - kBeta2);
  const at::Tensor mean = mean_ / (1.0 - std::pow(kBeta1, count_));
  const at::Tensor square = square_ / (1.0 - std::pow(kBeta2, count_));
  parameter.sub_(mean / (square.sqrt() + kEps), learning_rate);
}

}  // namespace bitlaw::quant
