// AWQ's two searches over a layer's output error.
#include "quant/methods/awq.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "quant/methods/rtn.h"
#include "quant/methods/smoothquant.h"

namespace bitlaw::quant {

namespace {

at::Tensor rounded(const at::Tensor& weight, const WeightGrid& grid) {
  return dequantise(round_to_nearest(weight, grid, {}), grid.spec());
}

// Each row's part of the output error: float32 [out].
at::Tensor row_errors(const at::Tensor& difference, const at::Tensor& gram) {
  return (at::matmul(difference, gram) * difference).sum(1);
}

at::Tensor candidate_scale(const at::Tensor& mean_abs, double exponent) {
  at::Tensor s = mean_abs.pow(exponent).clamp_min(1e-4);
  s /= (s.max() * s.min()).sqrt();
  return s.to(at::kFloat);
}

// weight: [out, width] of one group; returns it clamped row by row.
at::Tensor clipped_group(const at::Tensor& weight, const at::Tensor& gram, const WeightGrid& grid,
                         const AwqOptions& options) {
  const at::Tensor largest = weight.abs().amax(1, true);
  at::Tensor best_range = largest.clone();
  at::Tensor least = at::full({weight.size(0)}, std::numeric_limits<float>::infinity());
  const auto candidates = static_cast<std::int64_t>(options.max_shrink * static_cast<double>(options.grid));
  for (std::int64_t i = 0; i < candidates; ++i) {
    const at::Tensor range = largest * (1.0 - static_cast<double>(i) / static_cast<double>(options.grid));
    const at::Tensor clamped = at::minimum(at::maximum(weight, -range), range);
    const at::Tensor error = row_errors(rounded(clamped, grid) - weight, gram);
    const at::Tensor better = error < least;
    least = at::where(better, error, least);
    best_range = at::where(better.unsqueeze(1), range, best_range);
  }
  best_range.slice(0, 0, options.first_clipped_row).copy_(largest.slice(0, 0, options.first_clipped_row));
  return at::minimum(at::maximum(weight, -best_range), best_range);
}

}  // namespace

at::Tensor awq_multiplier(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                          std::int64_t grid) {
  const at::NoGradGuard no_grad;
  const at::Tensor gram = (inputs.gram / inputs.count).to(at::kFloat);
  const at::Tensor mean_abs = inputs.mean_abs();
  at::Tensor best;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < grid; ++i) {
    const at::Tensor s = candidate_scale(mean_abs, static_cast<double>(i) / static_cast<double>(grid));
    const at::Tensor scaled = weight * s;
    const at::Tensor difference = rounded(scaled, grid_of(scaled, spec)) / s - weight;
    const double error = row_errors(difference, gram).sum(at::kDouble).item<double>();
    if (error < least) {
      least = error;
      best = s;
    }
  }
  return best.reciprocal();
}

at::Tensor awq_clipped(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                       const AwqOptions& options) {
  const at::NoGradGuard no_grad;
  const std::int64_t width = spec.group_width(weight.size(1));
  const WeightGrid grid = grid_of(weight, spec);
  at::Tensor clipped = at::empty_like(weight);
  for (std::int64_t first = 0; first < weight.size(1); first += width) {
    const at::Tensor gram = inputs.gram.slice(0, first, first + width).slice(1, first, first + width);
    clipped.slice(1, first, first + width)
        .copy_(clipped_group(weight.slice(1, first, first + width).contiguous(),
                             (gram / inputs.count).to(at::kFloat).contiguous(), grid, options));
  }
  return clipped;
}

LayerCodes awq(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
               const AwqOptions& options) {
  const at::Tensor w = checked_weight(weight);
  at::Tensor multiplier = awq_multiplier(w, inputs, spec, options.grid);
  if (options.applicable_multiplier) {
    multiplier = options.applicable_multiplier(multiplier);
  }
  const at::Tensor scaled = compensated(w, multiplier);
  const at::Tensor clipped = awq_clipped(scaled, multiplied(inputs, multiplier), spec, options);
  LayerCodes codes = round_to_nearest(clipped, spec, {});
  if (!multiplier.eq(1.0).all().item<bool>()) {
    codes.input_multiplier = multiplier;
  }
  return codes;
}

}  // namespace bitlaw::quant
