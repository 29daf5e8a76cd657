// The vector form of storable_scale (quant/learned_scale.h) for the instruction set that Highway is compiling
// for. Included once per instruction set by the kernels. Torch-free.

#if defined(BITLAW_QUANT_KERNELS_STORABLE_SCALE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_QUANT_KERNELS_STORABLE_SCALE_INL_H_
#undef BITLAW_QUANT_KERNELS_STORABLE_SCALE_INL_H_
#else
#define BITLAW_QUANT_KERNELS_STORABLE_SCALE_INL_H_
#endif

#include <hwy/highway.h>

#include "quant/learned_scale.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// x >= 0, x <= 65504: the nearest float16, half to even.
template <class D>
HWY_INLINE hn::Vec<D> round_to_float16(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> words;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(words, 1));
  const auto rounded = hn::And(hn::Add(bits, hn::Add(odd, hn::Set(words, 0xFFF))), hn::Set(words, ~0x1FFFU));
  // Subnormal numbers are multiples of 2^-24, the distance of float32 numbers around 0.75.
  const auto magic = hn::Set(d, 0.75F);
  const auto subnormal = hn::Sub(hn::Add(x, magic), magic);
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, 0x1p-14F)), subnormal, hn::BitCast(d, rounded));
}

// x >= 0, at most the largest bfloat16: the nearest one, half to even.
template <class D>
HWY_INLINE hn::Vec<D> round_to_bfloat16(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> words;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF)));
  return hn::BitCast(d, hn::And(rounded, hn::Set(words, ~0xFFFFU)));
}

// x >= 0, at most 448: the nearest e4m3, half to even. Multiples of 2^-9 below 2^-6; above, three bits behind
// the leading one.
template <class D>
HWY_INLINE hn::Vec<D> round_to_e4m3(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> words;
  const auto power = hn::BitCast(d, hn::And(hn::BitCast(words, x), hn::Set(words, 0x7F800000U)));
  const auto smallest_normal = hn::Set(d, 0x1p-6F);
  const auto base =
      hn::Mul(hn::IfThenElse(hn::Lt(power, smallest_normal), smallest_normal, power), hn::Set(d, 0x1p20F));
  return hn::Sub(hn::Add(x, base), base);
}

// scale >= 0, infinity included; any type but e8m0.
template <class D>
HWY_INLINE hn::Vec<D> storable(D d, hn::Vec<D> scale, const ScaleLimits& limits) {
  const auto largest = hn::Set(d, limits.largest);
  const auto finite = hn::IfThenElse(hn::Gt(scale, largest), largest, scale);
  auto rounded = finite;
  if (limits.type == ScaleType::float16) {
    rounded = round_to_float16(d, finite);
  } else if (limits.type == ScaleType::bfloat16) {
    rounded = round_to_bfloat16(d, finite);
  } else if (limits.type == ScaleType::e4m3) {
    rounded = round_to_e4m3(d, finite);
  }
  return hn::IfThenElse(hn::Eq(rounded, hn::Zero(d)), hn::Set(d, limits.smallest), rounded);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
