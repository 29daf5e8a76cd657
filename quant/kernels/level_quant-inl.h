// The vector form of level_quant_math.h for the instruction set that Highway is compiling for. Included once
// per instruction set by the kernels. Torch-free.

#if defined(BITLAW_QUANT_KERNELS_LEVEL_QUANT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_QUANT_KERNELS_LEVEL_QUANT_INL_H_
#undef BITLAW_QUANT_KERNELS_LEVEL_QUANT_INL_H_
#else
#define BITLAW_QUANT_KERNELS_LEVEL_QUANT_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "quant/kernels/fake_quant-inl.h"
#include "quant/kernels/level_quant_math.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

struct VectorScales {
  Vector positive;
  Vector negative;
  Vector outermost_positive;  // largest level * scale
  Vector outermost_negative;
};

HWY_INLINE VectorScales broadcast(const LevelScales& scales, float largest) {
  const Floats d;
  return {hn::Set(d, scales.positive), hn::Set(d, scales.negative), hn::Set(d, largest * scales.positive),
          hn::Set(d, largest * scales.negative)};
}

struct VectorFloatConstants {
  VectorScales scales;
  Vector largest;
  Vector min_normal;
  Vector magic;
};

HWY_INLINE VectorFloatConstants broadcast(const FloatGroup& group) {
  const Floats d;
  const FloatElement& element = group.element;
  return {broadcast(group.scales, element.largest), hn::Set(d, element.largest),
          hn::Set(d, element.min_normal), hn::Set(d, element.magic)};
}

struct VectorTableConstants {
  VectorScales scales;
  TableGroup table;
};

HWY_INLINE VectorTableConstants broadcast(const TableGroup& group) {
  return {broadcast(group.scales, 1.0F), group};
}

struct VectorLevelPosition {
  Vector exact;
  Vector level;
  Vector scale;
  Mask inside;
  Mask negative;
};

HWY_INLINE Vector nearest_level(Vector exact, const VectorFloatConstants& group) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> words;
  const Vector magnitude = hn::Abs(exact);
  const Vector inside = hn::IfThenElse(hn::Gt(magnitude, group.largest), group.largest, magnitude);
  const auto exponent = hn::And(hn::BitCast(words, inside), hn::Set(words, 0x7F800000U));
  const Vector power = hn::BitCast(d, exponent);
  const Vector base =
      hn::Mul(hn::IfThenElse(hn::Lt(power, group.min_normal), group.min_normal, power), group.magic);
  return hn::CopySignToAbs(hn::Sub(hn::Add(inside, base), base), exact);
}

HWY_INLINE Vector nearest_level(Vector exact, const VectorTableConstants& group) {
  const Floats d;
  Vector level = hn::Set(d, group.table.levels[0]);
  for (int i = 0; i + 1 < group.table.count; ++i) {
    const auto above = hn::Gt(exact, hn::Set(d, group.table.thresholds[i]));
    level = hn::IfThenElse(above, hn::Set(d, group.table.levels[i + 1]), level);
  }
  return hn::IfThenElse(hn::IsNaN(exact), exact, level);
}

template <class Constants>
HWY_INLINE VectorLevelPosition locate_level(Vector w, const Constants& group) {
  const Floats d;
  const Words words;
  const Mask negative = hn::RebindMask(d, hn::Lt(hn::BitCast(words, w), hn::Zero(words)));
  const Vector scale = hn::IfThenElse(negative, group.scales.negative, group.scales.positive);
  const Vector outermost =
      hn::IfThenElse(negative, group.scales.outermost_negative, group.scales.outermost_positive);
  const Vector exact = hn::Div(w, scale);
  return {exact, nearest_level(exact, group), scale, hn::Le(hn::Abs(w), outermost), negative};
}
HWY_INLINE VectorLevelPosition locate(Vector w, const VectorFloatConstants& group) {
  return locate_level(w, group);
}
HWY_INLINE VectorLevelPosition locate(Vector w, const VectorTableConstants& group) {
  return locate_level(w, group);
}

template <class Constants>
HWY_INLINE Vector value_of(const VectorLevelPosition& at, const Constants& /*group*/) {
  return hn::Mul(at.level, at.scale);
}

HWY_INLINE Vector scale_slope(const VectorLevelPosition& at) {
  return hn::IfThenElse(at.inside, hn::Sub(at.level, at.exact), at.level);
}

// Values of `width` elements that share their scale.
template <class Group, class In, class Out>
HWY_INLINE void quantise_group(const Group& group, const In* from, Out* into, std::int64_t width) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Floats()));
  const auto constants = broadcast(group);
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    store(value_of(locate(load(from + i), constants), constants), into + i);
  }
  for (; i < width; ++i) {
    into[i] = from_float<Out>(quant::value_of(quant::locate(to_float(from[i]), group), group));
  }
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
