// The vector form of fake_quant_math.h for the instruction set that Highway is compiling for. Included once
// per instruction set by the kernels. Torch-free.

#if defined(BITLAW_QUANT_KERNELS_FAKE_QUANT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_QUANT_KERNELS_FAKE_QUANT_INL_H_
#undef BITLAW_QUANT_KERNELS_FAKE_QUANT_INL_H_
#else
#define BITLAW_QUANT_KERNELS_FAKE_QUANT_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "quant/kernels/bfloat16.h"
#include "quant/kernels/fake_quant_math.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kPartialSums>;
using Vector = hn::Vec<Floats>;
using Mask = hn::Mask<Floats>;
using Words = hn::RebindToSigned<Floats>;
using WordVector = hn::Vec<Words>;

HWY_INLINE Vector load(const float* from) {
  return hn::LoadU(Floats(), from);
}
HWY_INLINE Vector load(const std::uint16_t* from) {  // bfloat16
  const hn::RebindToUnsigned<Floats> words;
  const hn::Rebind<std::uint16_t, Floats> halves;
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(words, hn::LoadU(halves, from))));
}

HWY_INLINE void store(Vector x, float* into) {
  hn::StoreU(x, Floats(), into);
}
HWY_INLINE void store(Vector x, std::uint16_t* into) {  // to bfloat16: nearest, half to even
  const hn::RebindToUnsigned<Floats> words;
  const hn::Rebind<std::uint16_t, Floats> halves;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF))));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(x));
  hn::StoreU(hn::TruncateTo(halves, hn::IfThenElse(is_nan, hn::Set(words, 0x7FC0), rounded)), halves, into);
}

struct VectorConstants {
  Vector scale;
  Vector shift;
  Vector unshift;
  Vector q_min;
  Vector q_max;
};

HWY_INLINE VectorConstants broadcast(const GroupConstants& group) {
  const Floats d;
  return {
      hn::Set(d, group.scale), hn::Set(d, group.shift), hn::Set(d, group.unshift),
      hn::Set(d, group.q_min), hn::Set(d, group.q_max),
  };
}

struct VectorPosition {
  Vector exact;
  Vector rounded;
  Vector q;
};

HWY_INLINE VectorPosition locate(Vector w, const VectorConstants& group) {
  const Vector exact = hn::Add(hn::Div(w, group.scale), group.shift);
  const Vector rounded = hn::Round(exact);
  // By comparisons, which leave NaN alone; Min and Max differ there between instruction sets.
  const Vector lower = hn::IfThenElse(hn::Lt(rounded, group.q_min), group.q_min, rounded);
  return {exact, rounded, hn::IfThenElse(hn::Gt(rounded, group.q_max), group.q_max, lower)};
}

HWY_INLINE Vector value_of(const VectorPosition& at, const VectorConstants& group) {
  return hn::Mul(hn::Add(at.q, group.unshift), group.scale);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
