#include "quant/input_transform.h"

#include <ATen/ATen.h>

#include "quant/methods/hadamard.h"

namespace bitlaw::quant {

at::Tensor InputTransform::apply(const at::Tensor& x) const {
  if (is_identity()) {
    return x;
  }
  at::Tensor y = x.to(at::kFloat);
  if (multiplier.defined()) {
    y = y * multiplier;
  }
  if (hadamard_block > 0) {
    y = rotate(y, hadamard_block);
  }
  return y.to(x.scalar_type());
}

at::Tensor InputTransform::undone(const at::Tensor& weight) const {
  const at::Tensor unrotated = hadamard_block > 0 ? rotate(weight, hadamard_block) : weight;
  return multiplier.defined() ? unrotated * multiplier.unsqueeze(0) : unrotated;
}

}  // namespace bitlaw::quant
