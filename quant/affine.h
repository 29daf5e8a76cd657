// Scales, codes and values of integer quantisation on plain spans. The reference that the kernels are tested
// against.
//
//   code value q = clamp(rint(w / scale + zero_point - offset), q_min, q_max)      rint: half to even, / :
//   float32 value      w' = (q - zero_point + offset) * scale                              offset: 0.5 on the
//   half grid, else 0
// absmax: symmetric scale = amax / ((2^b - 1) / 2) on either grid; asymmetric scale = (max - min) / (2^b - 1)
// with 0 in the range and zero_point = clamp(rint(q_min - min / scale), q_min, q_max). An all-zero group gets
// the smallest normal number of scale_dtype. Scales are rounded to scale_dtype before codes are made; a scale
// that rounds to zero is replaced likewise. Source: compressed-tensors' conventions. NaN or infinity in w is
// an error. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

struct AffineParameters {
  std::vector<float> scale;             // [scale rows, groups], exact in scale_dtype
  std::vector<std::int8_t> zero_point;  // like scale, empty when symmetric
};

// w: [out, in] row-major.
AffineParameters find_parameters(std::span<const float> w, std::int64_t out_features,
                                 std::int64_t in_features, const QuantSpec& spec, ScaleSearch search);
float round_to(float value, ScaleType type);                                  // nearest, half to even
int code_value(float w, float scale, int zero_point, const QuantSpec& spec);  // q, signed
float level(int q, float scale, int zero_point, const QuantSpec& spec);

}  // namespace bitlaw::quant
