// HQQ (Badri and Shaji, "Half-Quadratic Quantization", 2023): zero points that minimise the l_p norm of the
// weight's error, p < 1, without any data.
//
// With t the inverse step and z the zero point of a group, codes are clamp(rint(w t + z), 0, 2^b - 1) and
// values (q - z) / t. Half-quadratic splitting alternates, at most `iterations` times:
//   w_r = (q - z) / t        e = shrink(w - w_r)        z = mean over the group of q - (w - e) t
//   shrink(x) = sign(x) max(0, |x| - |x|^(p-1) / beta), beta grows by `kappa` each time
// and stops when the mean of |w - w_r| over the whole weight is no longer less than the best before; the z of
// that last iteration stays. Steps are those of the weight's range (of a group of one value: its magnitude)
// and do not change; a 4-bit z starts rounded.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/methods/layer_codes.h"

namespace bitlaw::quant {

struct HqqOptions {
  double norm = 0.7;  // p
  double beta = 10.0;
  double kappa = 1.01;
  std::int64_t iterations = 20;
};

// Before anything is rounded to a storage type. Float32, weight in rows of one group each.
struct HqqSolution {
  at::Tensor scale_inverse;   // [rows, 1]: 1 / step
  at::Tensor zero;            // [rows, 1], unsigned: level 0 of the grid is code `zero`
  at::Tensor mean_code;       // [rows, 1] of the last iteration: zero = mean_code - mean_target / step
  at::Tensor mean_target;     // [rows, 1]: of the weights without what was forgiven
  at::Tensor codes;           // [rows, width], float32 integers
  std::vector<double> error;  // mean |w - w_r| of each iteration
};
HqqSolution solve_hqq(const at::Tensor& grouped_weight, int bits, const HqqOptions& options = {});

// weight: float32 [out, in]; spec: integer, asymmetric, zero_point_dtype float16. Steps are rounded to their
// storage type, zero points follow from the step that is stored and are rounded to theirs, codes are the
// nearest under what is stored. A zero point counts steps from zero to the group, and float16 tells few large
// numbers apart: a step is at least |mean_target| / min(2^(10 + b), 60000), so that rounding moves a group by
// at most a quarter of its 2^b codes, for b up to 5. InputError for other specs.
LayerCodes hqq(const at::Tensor& weight, const QuantSpec& spec, const HqqOptions& options = {});

}  // namespace bitlaw::quant
