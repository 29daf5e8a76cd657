// Half-quadratic splitting over all groups at once.
#include "quant/methods/hqq.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/affine.h"
#include "quant/learned_scale.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

namespace {

at::Tensor shrink(const at::Tensor& x, double beta, double norm) {
  const at::Tensor magnitude = x.abs();
  return x.sign() * at::relu(magnitude - magnitude.pow(norm - 1.0) / beta);
}

// float16 saturates: a zero point beyond its range means a group far from zero.
float rounded_to_half(float x) {
  return round_to(std::clamp(x, -65504.0F, 65504.0F), ScaleType::float16);
}

}  // namespace

HqqSolution solve_hqq(const at::Tensor& grouped_weight, int bits, const HqqOptions& options) {
  const at::NoGradGuard no_grad;
  const double top = std::exp2(bits) - 1.0;
  const at::Tensor& w = grouped_weight;
  const at::Tensor lowest = w.amin(1, true);
  const at::Tensor range = w.amax(1, true) - lowest;
  HqqSolution solution;
  solution.scale_inverse = at::where(range.gt(0), top / range, at::ones_like(range));
  solution.zero = -lowest * solution.scale_inverse;
  if (bits == 4) {
    solution.zero.round_();
  }
  const at::Tensor& t = solution.scale_inverse;
  double beta = options.beta;
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    const at::Tensor q = (w * t + solution.zero).round_().clamp_(0.0, top);
    const at::Tensor difference = w - (q - solution.zero) / t;
    solution.zero = (q - (w - shrink(difference, beta, options.norm)) * t).mean(1, true);
    beta *= options.kappa;
    const double error = difference.abs().mean().item<double>();
    solution.error.push_back(error);
    if (error >= best) {
      break;
    }
    best = error;
  }
  solution.codes = (w * t + solution.zero).round_().clamp_(0.0, top);
  return solution;
}

LayerCodes hqq(const at::Tensor& weight, const QuantSpec& spec, const HqqOptions& options) {
  QuantConfig config;
  config.method = Method::hqq;
  check_method(config, spec);
  const at::Tensor w = checked_weight(weight);
  const GroupLayout layout = group_layout(spec, w.size(0), w.size(1));
  const HqqSolution solution = solve_hqq(w.reshape({-1, layout.width}), spec.bits(), options);
  LayerCodes codes;
  const WeightGrid grid(spec);
  allocate_scales(codes, grid, layout);
  codes.scale.copy_(solution.scale_inverse.reciprocal().view(codes.scale.sizes()));
  codes.zero_point.copy_(solution.zero.view(codes.scale.sizes()) + static_cast<double>(spec.q_min()));
  auto* scale = codes.scale.mutable_data_ptr<float>();
  auto* zero = codes.zero_point.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < codes.scale.numel(); ++i) {
    scale[i] = storable_scale(scale[i], spec.fields().scale_dtype);
    zero[i] = rounded_to_half(zero[i]);
  }
  code_nearest(codes, w, grid);
  return codes;
}

}  // namespace bitlaw::quant
