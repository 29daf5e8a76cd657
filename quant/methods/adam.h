// AdamW without decay, of one tensor, for methods that learn while a layer is quantised: betas 0.9 and 0.999,
// eps 1e-8, as PyTorch has them by default.
#pragma once

#include <ATen/core/Tensor.h>

namespace bitlaw::quant {

class Adam {
 public:
  explicit Adam(const at::Tensor& like);
  // Changes `parameter` in place; tensors as `like`.
  void step(const at::Tensor& parameter, const at::Tensor& gradient, double learning_rate);

 private:
  int count_ = 0;
  at::Tensor mean_;
  at::Tensor square_;
};

}  // namespace bitlaw::quant
