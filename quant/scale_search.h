// What the elements of one group share, found from the elements: by their extremes, or by least squared
// error.
//
// absmax, before rounding to scale_dtype (quant/block_format.h for e8m0):
//   integer, symmetric   amax / ((2^b - 1) / 2) on either grid (compressed-tensors' convention)
//   integer, asymmetric  (max - min) / (2^b - 1) with 0 in the range, zero_point = q_min - min / scale,
//   rounded to
//                        an integer and clamped to the codes, or rounded to float16
//   floating, quantile   amax / largest level; asymmetric (AFPQ, arXiv 2311.01792): max and -min, each by
//   itself ternary              mean |w| (BitNet b1.58, arXiv 2402.17764)
// lsq: 2 mean |w| / sqrt(largest level) (Esser et al. 2020, arXiv 1902.08153); lsq_plus: max(|mean - 3
// sigma|, |mean + 3 sigma|) / 2^(b-1), sigma of the whole group (Bhalgat et al. 2020, arXiv 2004.09576).
// Symmetric integers only (method_plan.h refuses others). mse: the range shrunk by 0 % to 79 % in steps of 1
// %, the first of equally good ones wins; e8m0: the four powers of two around the standard's; ternary: the
// best of all scales (the mean of the k largest |w|, for the k with the least error). The two sides of
// asymmetric floats are searched apart. A group of zeros gets the smallest scale. Torch-free.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

struct GroupParameters {
  float scale = 1.0F;           // exact in scale_dtype, without the global scale
  float scale_negative = 1.0F;  // floating and quantile, asymmetric; else unused
  float zero_point = 0.0F;      // a whole number unless zero_point_dtype is float16
};

// w is any group; NaN or infinity is an InputError. global_scale: 1 unless scale_dtype is e4m3. power, 1 to
// 3: mse of integers whose scales are no powers of two takes the least sum of |error|^power; others have 2.
GroupParameters find_group(std::span<const float> w, const QuantSpec& spec, ScaleSearch search,
                           float global_scale = 1.0F, double power = 2.0);

// The same of every `width` weights, one after the other.
std::vector<GroupParameters> find_groups(std::span<const float> w, std::size_t width, const QuantSpec& spec,
                                         ScaleSearch search, float global_scale = 1.0F);

[[noreturn]] void throw_not_finite();  // InputError: a weight that holds NaN or infinity

// The largest |w|; NaN or infinity is an InputError.
float amax_of(std::span<const float> w);

}  // namespace bitlaw::quant
