// One element of fake quantisation to levels that are no equidistant grid: small floats and quantile tables.
// Every kernel variant does these operations in this order, so that all of them give the same bits.
// Torch-free.
//
//   s = scale, or scale_negative where w has a sign      exact = w / s
//   level = nearest level to exact                       value = level * s
// Gradients, the rounding taken as the identity: inside |w| <= largest level * s (a float32 product, so that
// the values of the outermost levels are inside) d value / d w = 1 and d value / d s = level - exact; outside
// 0 and level. NaN gives NaN.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "quant/kernels/float_format_math.h"

namespace bitlaw::quant {

// What the elements of one group share.
struct LevelScales {
  float positive = 1.0F;
  float negative = 1.0F;  // the same when symmetric
  bool two_sided = false;
};

struct FloatGroup {
  LevelScales scales;
  FloatElement element;
};

// A value on a threshold takes the lower level.
struct TableGroup {
  LevelScales scales;
  const float* levels = nullptr;      // [count], sorted; outermost levels -1 and 1
  const float* thresholds = nullptr;  // [count - 1]
  int count = 0;
};

struct LevelPosition {
  float exact = 0.0F;
  float level = 0.0F;
  float scale = 0.0F;
  bool inside = false;
};

inline float largest_level(const FloatGroup& group) {
  return group.element.largest;
}
inline float largest_level(const TableGroup& /*group*/) {
  return 1.0F;
}

inline float nearest_level(float exact, const FloatGroup& group) {
  return std::copysign(round_magnitude(std::abs(exact), group.element), exact);
}
inline int level_index(float exact, const TableGroup& group) {
  int index = 0;
  for (int i = 0; i + 1 < group.count; ++i) {
    index += exact > group.thresholds[i] ? 1 : 0;
  }
  return index;
}
inline float nearest_level(float exact, const TableGroup& group) {
  return exact != exact ? exact : group.levels[level_index(exact, group)];
}

template <class Group>
LevelPosition locate_level(float w, const Group& group) {
  LevelPosition at;
  at.scale = std::signbit(w) ? group.scales.negative : group.scales.positive;
  at.exact = w / at.scale;
  at.level = nearest_level(at.exact, group);
  at.inside = std::abs(w) <= largest_level(group) * at.scale;
  return at;
}
inline LevelPosition locate(float w, const FloatGroup& group) {
  return locate_level(w, group);
}
inline LevelPosition locate(float w, const TableGroup& group) {
  return locate_level(w, group);
}

template <class Group>
float value_of(const LevelPosition& at, const Group& /*group*/) {
  return at.level * at.scale;
}

inline std::uint8_t code_of(const LevelPosition& at, const FloatGroup& group) {
  const std::uint32_t magnitude = pattern_of_magnitude(std::abs(at.level), group.element);
  return static_cast<std::uint8_t>(magnitude | (std::signbit(at.level) ? group.element.sign_bit : 0U));
}
inline std::uint8_t code_of(const LevelPosition& at, const TableGroup& group) {
  return static_cast<std::uint8_t>(level_index(at.exact, group));
}

inline float scale_slope(const LevelPosition& at) {
  return at.inside ? at.level - at.exact : at.level;
}

}  // namespace bitlaw::quant
