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

// The smallest step under which float16 holds the zero point of a group whose mean is `target`.
float least_step(float target, int bits) {
  constexpr int kHalfDigits = 10;       // after the first
  constexpr float kLargest = 60000.0F;  // nearly the largest float16: the step is rounded, maybe down
  return std::abs(target) / std::min(std::ldexp(1.0F, kHalfDigits + bits), kLargest);
}

// Steps, and the zero points that belong to the steps as they are stored.
void store(LayerCodes& codes, const HqqSolution& solution, const QuantSpec& spec) {
  const at::Tensor steps = solution.scale_inverse.reciprocal().contiguous();
  const at::Tensor mean_codes = solution.mean_code.contiguous();
  const at::Tensor targets = solution.mean_target.contiguous();
  const auto* step = steps.const_data_ptr<float>();
  const auto* mean_code = mean_codes.const_data_ptr<float>();
  const auto* target = targets.const_data_ptr<float>();
  auto* scale = codes.scale.mutable_data_ptr<float>();
  auto* zero = codes.zero_point.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < codes.scale.numel(); ++i) {
    scale[i] =
        storable_scale(std::max(step[i], least_step(target[i], spec.bits())), spec.fields().scale_dtype);
    const float exact = mean_code[i] - target[i] / scale[i] + static_cast<float>(spec.q_min());
    zero[i] = round_to(exact, ScaleType::float16);
  }
}

}  // namespace

HqqSolution solve_hqq(const at::Tensor& grouped_weight, int bits, const HqqOptions& options) {
  const at::NoGradGuard no_grad;
  const double top = std::exp2(bits) - 1.0;
  const at::Tensor& w = grouped_weight;
  const at::Tensor lowest = w.amin(1, true);
  const at::Tensor range = w.amax(1, true) - lowest;
  HqqSolution solution;
  const at::Tensor value =
      at::where(lowest.ne(0), lowest.abs(), at::ones_like(range));  // of a constant group
  solution.scale_inverse = at::where(range.gt(0), top / range, value.reciprocal());
  solution.zero = -lowest * solution.scale_inverse;
  if (bits == 4) {
    solution.zero.round_();
  }
  const at::Tensor& t = solution.scale_inverse;
  solution.mean_code = at::zeros_like(range);
  solution.mean_target = lowest;
  double beta = options.beta;
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    const at::Tensor q = (w * t + solution.zero).round_().clamp_(0.0, top);
    const at::Tensor difference = w - (q - solution.zero) / t;
    const at::Tensor target = w - shrink(difference, beta, options.norm);
    solution.zero = (q - target * t).mean(1, true);
    solution.mean_code = q.mean(1, true);
    solution.mean_target = target.mean(1, true);
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
  store(codes, solution, spec);
  code_nearest(codes, w, grid);
  return codes;
}

}  // namespace bitlaw::quant
