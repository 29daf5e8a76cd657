// Scales, codes and values of quantised weights on plain spans. The reference that the kernels are tested
// against.
//
//   code value q = clamp(rint(w / scale + zero_point - offset), q_min, q_max)      rint: half to even, / :
//   float32 value      w' = (q - zero_point + offset) * scale                              offset: 0.5 on the
//   half grid, else 0
// for integers and ternary numbers; the other formats: kernels/level_quant_math.h. Rules for scales:
// scale_search.h. Scales are rounded to scale_dtype before codes are made; a scale that rounds to zero is
// replaced by the smallest of its type. NaN or infinity in w is an error. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// As PackedTensor holds them: [scale rows, groups], empty where the spec has none.
struct AffineParameters {
  std::vector<float> scale;  // exact in scale_dtype
  std::vector<std::int8_t> zero_point;
  std::vector<float> zero_point_real;
  std::vector<float> scale_negative;
  std::optional<float> global_scale;
};

struct SearchOptions {
  // NOLINTNEXTLINE(google-explicit-constructor): a search is all it takes
  SearchOptions(ScaleSearch kind) : search(kind) {}
  ScaleSearch search;
  // Of the whole weight, where w is a part of it; unset: from w. Only for scale_dtype e4m3.
  std::optional<float> global_scale;
};

// w: [out, in] row-major.
AffineParameters find_parameters(std::span<const float> w, std::int64_t out_features,
                                 std::int64_t in_features, const QuantSpec& spec, SearchOptions options);
float round_to(float value, ScaleType type);  // nearest, half to even; e8m0: half up; e4m3 saturates
int code_value(float w, float scale, int zero_point, const QuantSpec& spec);  // q, signed
float level(int q, float scale, int zero_point, const QuantSpec& spec);

}  // namespace bitlaw::quant
