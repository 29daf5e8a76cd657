#include "quant/methods/smoothquant.h"

#include <ATen/ATen.h>

namespace bitlaw::quant {

at::Tensor smoothing_multiplier(const at::Tensor& weight, const InputStatistics& inputs, double alpha) {
  constexpr double kSmallest = 1e-5;
  const at::NoGradGuard no_grad;
  const at::Tensor w = weight.abs().amax(0).to(at::kDouble).clamp_min(kSmallest);
  const at::Tensor x = inputs.abs_max.clamp_min(kSmallest);
  at::Tensor s = (x.pow(alpha) / w.pow(1.0 - alpha)).clamp_min(kSmallest);
  s /= s.log().mean().exp();
  return s.reciprocal().to(at::kFloat);
}

at::Tensor compensated(const at::Tensor& weight, const at::Tensor& multiplier) {
  return weight / multiplier.to(weight.scalar_type()).unsqueeze(0);
}

}  // namespace bitlaw::quant
