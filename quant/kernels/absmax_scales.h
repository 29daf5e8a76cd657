// Scales by absmax (quant/scale_search.h) of many groups at once: the extremes of a vector's worth of groups
// side by side, then their scales and zero points in one go. Vector instructions are chosen at run time and
// give the bits of find_group. Torch-free.
#pragma once

#include <cstddef>
#include <span>

#include "quant/learned_scale.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// What a spec asks for. Not for ternary numbers, whose scale is a mean.
struct AbsmaxRule {
  ScaleLimits limits;
  float global_scale = 1.0F;
  float top_level = 1.0F;    // that amax is mapped to
  int element_exponent = 0;  // e8m0: of the largest number
  float q_min = 0.0F;        // with zero points
  float q_max = 0.0F;
  bool real_zero_point = false;
};
AbsmaxRule absmax_rule(const QuantSpec& spec, float global_scale);

// One number per group; empty where the spec has none.
struct AbsmaxScales {
  std::span<float> scale;
  std::span<float> scale_negative;
  std::span<float> zero_point;
};

// w: groups of `width` elements, one after the other. False where an element is NaN or infinite; scales then
// mean nothing.
[[nodiscard]] bool absmax_scales(const AbsmaxRule& rule, std::span<const float> w, std::size_t width,
                                 const AbsmaxScales& into);

// The largest |w| of each group: in the place of groups, of width 1, they have the same scales where there is
// one a group.
[[nodiscard]] bool group_amaxes(std::span<const float> w, std::size_t width, std::span<float> into);

}  // namespace bitlaw::quant
