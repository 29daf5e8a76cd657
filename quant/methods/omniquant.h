// OmniQuant's learnable weight clipping (Shao et al., arXiv 2308.13137) of one layer: the ends of each
// group's range are learned from the layer's output error.
//
//   highest = sigmoid(gamma) max(w)   lowest = sigmoid(beta) min(w)      (symmetric: one gamma, of max|w|)
// gamma and beta start at 4 and are trained by AdamW without decay on sum |(W' - W) x|^2 over all rows seen,
// which is trace((W' - W) gram (W' - W)^T): each step uses the whole calibration set. The forward rounds
// scales and zero points to their storage types; rounding is passed straight through. The best iterate stays,
// and that is never worse than round-to-nearest under the unclipped range, which is tried first.
#pragma once

#include "quant/input_statistics.h"
#include "quant/methods/layer_codes.h"

namespace bitlaw::quant {

struct OmniquantOptions {
  std::int64_t steps = 400;
  double learning_rate = 1e-2;
};

// weight: float32 [out, in]. InputError for a spec that is not integer with strategy group or channel,
// or whose scales are e8m0.
LayerCodes omniquant(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                     const OmniquantOptions& options = {});

}  // namespace bitlaw::quant
