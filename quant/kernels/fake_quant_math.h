// One element of fake quantisation on an equidistant grid, forward and backward, in float32. Every kernel
// variant does these operations in this order, so that all of them give the same bits. Torch-free.
//
//   exact = w / scale + (zero_point - offset)      rounded = rint(exact), half to even
//   q = clamp(rounded, q_min, q_max)               value = (q + (offset - zero_point)) * scale
// Zero point and half-grid offset are never both non-zero (QuantSpec), so with whole zero points both
// differences are exact. Formats that are no grid: level_quant_math.h.
#pragma once

#include <cmath>
#include <cstdint>

namespace bitlaw::quant {

// What the elements of one group share.
struct GroupConstants {
  float scale = 1.0F;
  float shift = 0.0F;    // zero_point - offset
  float unshift = 0.0F;  // offset - zero_point; +0 where there is neither, so that no value becomes -0
  float q_min = 0.0F;
  float q_max = 0.0F;
  float code_offset = 0.0F;  // code = q + code_offset
};

struct Position {
  float exact = 0.0F;
  float rounded = 0.0F;
  float q = 0.0F;
};

inline Position locate(float w, const GroupConstants& group) {
  Position at;
  at.exact = w / group.scale + group.shift;
  at.rounded = std::nearbyint(at.exact);
  at.q = at.rounded < group.q_min ? group.q_min : (at.rounded > group.q_max ? group.q_max : at.rounded);
  return at;
}

inline float value_of(const Position& at, const GroupConstants& group) {
  return (at.q + group.unshift) * group.scale;
}

inline std::uint8_t code_of(const Position& at, const GroupConstants& group) {
  return static_cast<std::uint8_t>(static_cast<int>(at.q + group.code_offset));
}

// d value / d w, the rounding taken as the identity: 1 where the rounded position is a code (the outermost
// codes included), else 0.
inline bool is_inside(const Position& at) {
  return at.q == at.rounded;
}

// d value / d scale, likewise.
inline float scale_slope(const Position& at, const GroupConstants& group) {
  return is_inside(at) ? at.rounded - at.exact : at.q + group.unshift;
}

// Sums over a group: element i is added to partial sum i mod kPartialSums, and the partial sums are added
// pairwise (i with i + 8, then + 4, + 2, + 1). The order is the same for every vector width up to 16.
inline constexpr int kPartialSums = 16;

inline float add_pairwise(float* partial) {
  for (int half = kPartialSums / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      partial[i] += partial[i + half];
    }
  }
  return partial[0];
}

}  // namespace bitlaw::quant
