// Learnable clipping with its gradient in closed form.
#include "quant/methods/omniquant.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "quant/methods/adam.h"
#include "quant/methods/method_plan.h"

namespace bitlaw::quant {

namespace {

constexpr double kFirstLogit = 4.0;

// The ends of every group's range [out, groups, 1] and what is learned of them.
struct Clipping {
  at::Tensor highest, lowest;  // of the weights, zero inside; symmetric: +- the largest |w|
  at::Tensor gamma, beta;      // symmetric: beta is gamma
};

Clipping first_clipping(const at::Tensor& w_OGI, bool symmetric) {
  Clipping clipping;
  if (symmetric) {
    clipping.highest = w_OGI.abs().amax(2, true);
    clipping.lowest = -clipping.highest;
  } else {
    clipping.highest = w_OGI.amax(2, true).clamp_min(0.0);
    clipping.lowest = w_OGI.amin(2, true).clamp_max(0.0);
  }
  clipping.gamma = at::full_like(clipping.highest, kFirstLogit);
  clipping.beta = symmetric ? clipping.gamma : clipping.gamma.clone();
  return clipping;
}

// Scales of the ranges, as stored.
LayerCodes scales_of(const at::Tensor& highest, const at::Tensor& lowest, const WeightGrid& grid,
                     const GroupLayout& layout) {
  LayerCodes codes;
  allocate_scales(codes, grid, layout);
  const at::Tensor tops = highest.contiguous();
  const at::Tensor bottoms = lowest.contiguous();
  const auto* top = tops.const_data_ptr<float>();
  const auto* bottom = bottoms.const_data_ptr<float>();
  for (std::int64_t row = 0; row < layout.out; ++row) {
    for (std::int64_t group = 0; group < layout.groups; ++group) {
      const std::int64_t i = row * layout.groups + group;
      set_group_scale(codes, row, group, grid.of_range(bottom[i], top[i]));
    }
  }
  return codes;
}

struct Gradients {
  at::Tensor gamma, beta;
};

// From d loss / d W'. s is the step, the global scale included. With v = w / s, u the level (q - z): d w' / d
// s = u - v inside, u outside; d w' / d z = 0 inside, -s outside; s = (highest - lowest) / steps; z =
// rint(q_min - lowest / s).
Gradients gradients_of(const at::Tensor& grad_OGI, const at::Tensor& w_OGI, const LayerCodes& codes,
                       const Clipping& clipping, const QuantSpec& spec) {
  const at::Tensor s = (codes.scale * static_cast<double>(codes.global_scale.value_or(1.0F))).unsqueeze(2);
  const at::Tensor z = codes.zero_point.defined() ? codes.zero_point.unsqueeze(2) : at::zeros_like(s);
  const at::Tensor v = w_OGI / s;
  const at::Tensor q = codes.codes.view(w_OGI.sizes()).to(at::kFloat) + static_cast<double>(spec.q_min());
  const at::Tensor u = q - z + spec.level_offset();
  const at::Tensor inside = (u - v).abs() <= 0.5 + 1e-4;
  at::Tensor grad_s = (grad_OGI * (u - v * inside)).sum(2, true);
  const double steps = spec.q_max() - spec.q_min();
  const at::Tensor slope_gamma = at::sigmoid(clipping.gamma) * (1.0 - at::sigmoid(clipping.gamma));
  if (spec.fields().symmetric) {
    return {grad_s * clipping.highest * (2.0 / steps) * slope_gamma, {}};
  }
  const at::Tensor grad_z = -(grad_OGI * s * inside.logical_not()).sum(2, true);
  const at::Tensor lowest = clipping.lowest * at::sigmoid(clipping.beta);
  grad_s += grad_z * lowest / (s * s);
  const at::Tensor grad_lowest = -grad_s / steps - grad_z / s;
  const at::Tensor slope_beta = at::sigmoid(clipping.beta) * (1.0 - at::sigmoid(clipping.beta));
  return {grad_s * clipping.highest / steps * slope_gamma, grad_lowest * clipping.lowest * slope_beta};
}

}  // namespace

LayerCodes omniquant(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                     const OmniquantOptions& options) {
  QuantConfig config;
  config.method = Method::omniquant;
  check_method(config, spec);
  const at::NoGradGuard no_grad;
  const at::Tensor w = checked_weight(weight);
  const WeightGrid grid = grid_of(w, spec);
  const GroupLayout layout = group_layout(spec, w.size(0), w.size(1));
  const at::Tensor w_OGI = w.view({layout.out, layout.groups, layout.width});
  const at::Tensor gram = (inputs.gram / (inputs.count * static_cast<double>(layout.out))).to(at::kFloat);
  const Clipping clipping = first_clipping(w_OGI, spec.fields().symmetric);
  Adam gamma_steps(clipping.gamma);
  Adam beta_steps(clipping.beta);
  LayerCodes best;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t step = -1; step < options.steps; ++step) {  // -1: the unclipped range
    const at::Tensor highest = step < 0 ? clipping.highest : clipping.highest * at::sigmoid(clipping.gamma);
    const at::Tensor lowest = step < 0 ? clipping.lowest : clipping.lowest * at::sigmoid(clipping.beta);
    LayerCodes codes = scales_of(highest, lowest, grid, layout);
    code_nearest(codes, w, grid);
    const at::Tensor difference = dequantise(codes, spec) - w;
    const at::Tensor product = at::matmul(difference, gram);
    const double error = (product * difference).sum(at::kDouble).item<double>();
    if (error < least) {
      least = error;
      best = codes;
    }
    if (step >= 0) {
      const Gradients found =
          gradients_of(product.mul_(2.0).view(w_OGI.sizes()), w_OGI, codes, clipping, spec);
      gamma_steps.step(clipping.gamma, found.gamma, options.learning_rate);
      if (found.beta.defined()) {
        beta_steps.step(clipping.beta, found.beta, options.learning_rate);
      }
    }
  }
  return best;
}

}  // namespace bitlaw::quant
