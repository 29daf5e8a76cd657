// What methods need to know of a layer's input, as sums and extremes over every row that was seen: a view on
// Statistics, so that ranks merge it, and its size does not depend on the number of rows.
//
// Entries "<layer>/count", "/gram" [in, in] = sum of x x^T, "/sum" [in], "/abs_sum" [in] = sum of |x|,
// "/abs_max" [in].
// Errors of a layer's output over all rows follow from the Gram matrix alone: for a change D of the weight,
// sum |D x|^2 = trace(D gram D^T). No row of the input is kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "quant/statistics.h"

namespace bitlaw::quant {

struct InputStatistics {
  double count = 0.0;  // rows
  at::Tensor gram;     // float64 [in, in]
  at::Tensor sum;      // float64 [in]
  at::Tensor abs_sum;  // float64 [in]
  at::Tensor abs_max;  // float64 [in]

  std::int64_t in_features() const { return gram.size(0); }
  at::Tensor mean_abs() const;                                // float64 [in]
  double output_error(const at::Tensor& weight_error) const;  // mean over rows and outputs of (D x)^2
  // Channels that had one value in all rows, zero included.
  std::int64_t constant_channels() const;
};

// Adds the rows of x [..., in] (any floating type) to `statistics` under `layer`. Sums are float64.
void observe_input(Statistics& statistics, const std::string& layer, const at::Tensor& x);
// Shares the tensors. std::invalid_argument when nothing was observed for `layer`. InputError naming the
// layer when the input is not finite.
InputStatistics input_statistics(const Statistics& statistics, const std::string& layer);

// The statistics of x * multiplier.
InputStatistics multiplied(const InputStatistics& inputs, const at::Tensor& multiplier);

}  // namespace bitlaw::quant
