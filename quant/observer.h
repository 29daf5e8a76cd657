// Static scales of activations: what a calibration counts, and the one scale of a tensor that follows from
// it.
//
// Observing adds to a Statistics under names that start with `name`, so counts of several batches and ranks
// merge, and every rank finds the same scale:
//   minmax           the extremes of everything seen
//   moving_average   the mean of each batch's extremes (all batches weigh the same, so that order does not
//   matter) percentile       the range that leaves (100 - percentile) / 2 percent of the values outside on
//   each side; symmetric
//                    specs: that many percent of |x| outside
//   mse              the range of minmax, shrunk by 0 % to 79 % in steps of 1 %, with the least squared
//   error;
//                    asymmetric specs: the upper end first, then the lower one
// percentile and mse work on a histogram whose bins are the same for every tensor: for each sign 64 bins in
// each power of two from 2^-32 to 2^32, so that a bin is at most 1.6 % of its value wide; smaller values
// count as zero, larger ones in the last bin. Memory does not depend on how much is seen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "quant/observer_options.h"
#include "quant/spec.h"
#include "quant/statistics.h"

namespace bitlaw::quant {

// Of a whole tensor, as AffineParameters has them.
struct StaticScale {
  float scale = 1.0F;
  std::int8_t zero_point = 0;
};

// Adds what the observer needs of one batch x (any shape, float32 or bfloat16, not empty). NaN and infinity
// are counted, not thrown: static_scale refuses them on all ranks that merged the counts.
void observe(const ObserverOptions& options, const std::string& name, const at::Tensor& x, Statistics& into);

// The scale for a spec with strategy tensor, integer or symmetric float. InputError naming `name` when
// nothing was seen, or NaN or infinity.
StaticScale static_scale(const ObserverOptions& options, const std::string& name, const Statistics& seen,
                         const QuantSpec& spec);

// Whether any value that was seen lies below zero.
bool saw_negative(const std::string& name, const Statistics& seen);

// x through the spec and its scale, in x's type; d out / d x = 1 inside the range, 0 outside.
at::Tensor fake_quantise_static(const at::Tensor& x, const QuantSpec& spec, const StaticScale& scale);

}  // namespace bitlaw::quant
