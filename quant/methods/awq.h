// AWQ (Lin et al., arXiv 2306.00978): inputs that are loud on average get finer steps, and each group's range
// is shrunk as far as the layer's output gains from it.
//
// Scale search: s = mean|x|^r, r = 0, 1/grid, ... (grid - 1)/grid, at least 1e-4, divided by
// sqrt(max s min s); the r of least |Q(W diag s) diag(1/s) x - W x|^2 stays. Clipping: each group's largest
// |w| is multiplied by 1 - i/grid, i = 0 ... grid max_shrink - 1, and the ratio of least error of the group's
// part of the output stays, the first of equals. Errors are exact over all rows seen: they follow from the
// Gram matrix.
#pragma once

#include <functional>

#include "quant/input_statistics.h"
#include "quant/methods/layer_codes.h"

namespace bitlaw::quant {

struct AwqOptions {
  std::int64_t grid = 20;
  double max_shrink = 0.5;
  // Rows before this one are not clipped: queries and keys, whose outputs are multiplied by each other.
  std::int64_t first_clipped_row = 0;
  // From the best 1 / s to the multiplier that the network can apply; none: the same.
  std::function<at::Tensor(const at::Tensor&)> applicable_multiplier;
};

// weight: float32 [out, in]. The result's input_multiplier is 1 / s, or what is applicable instead; undefined
// when it is 1.
LayerCodes awq(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
               const AwqOptions& options = {});

// 1 / s of the best r: float32 [in].
at::Tensor awq_multiplier(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                          std::int64_t grid);
// The weight clamped to the best range of each group.
at::Tensor awq_clipped(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                       const AwqOptions& options);

}  // namespace bitlaw::quant
