// Vectors of up to 16 floats for the instruction set that Highway is compiling for: loads and stores of float
// and bfloat16, sums of rows, exp. Multiply-adds are fused where the instruction set has them. Torch-free.
#include <hwy/highway.h>

#if defined(BITLAW_DISTILL_KERNELS_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_DISTILL_KERNELS_VECTORS_INL_H_
#undef BITLAW_DISTILL_KERNELS_VECTORS_INL_H_
#else
#define BITLAW_DISTILL_KERNELS_VECTORS_INL_H_
#endif

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE::vectors {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Tag>;
using IntTag = hn::RebindToSigned<Tag>;
using WordTag = hn::RebindToUnsigned<Tag>;
using HalfTag = hn::Rebind<std::uint16_t, Tag>;
constexpr auto kStep = static_cast<std::int64_t>(hn::MaxLanes(Tag()));

HWY_INLINE Vec constant(float x) {
  return hn::Set(Tag(), x);
}

HWY_INLINE Vec load(const float* from) {
  return hn::LoadU(Tag(), from);
}
HWY_INLINE Vec load(const std::uint16_t* from) {  // bfloat16
  return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::PromoteTo(WordTag(), hn::LoadU(HalfTag(), from))));
}

HWY_INLINE void store(Vec x, float* into) {
  hn::StoreU(x, Tag(), into);
}
HWY_INLINE void store(Vec x, std::uint16_t* into) {  // nearest, half to even; NaN stays NaN
  const WordTag words;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF))));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(x));
  const auto halves = hn::IfThenElse(is_nan, hn::Set(words, 0x7FC0), rounded);
  hn::StoreU(hn::TruncateTo(HalfTag(), halves), HalfTag(), into);
}

// Sum over a row of what `term(i)` gives for the vector from element i on. Four sums, so that additions need
// not wait for one another. width is a multiple of 16.
template <class Term>
HWY_INLINE float sum_of_row(std::int64_t width, const Term& term) {
  Vec sums[4] = {hn::Zero(Tag()), hn::Zero(Tag()), hn::Zero(Tag()), hn::Zero(Tag())};
  std::int64_t i = 0;
  for (; i + 4 * kStep <= width; i += 4 * kStep)
    for (std::int64_t part = 0; part < 4; ++part) sums[part] = hn::Add(sums[part], term(i + part * kStep));
  for (; i < width; i += kStep) sums[0] = hn::Add(sums[0], term(i));
  return hn::GetLane(hn::SumOfLanes(Tag(), hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
}

// exp(x) for x <= 0, relative error 2e-7; 0 below -87. 2^n exp(r), n = round(x / log 2); the polynomial is a
// degree-6 minimax of exp on |r| <= log(2) / 2.
HWY_INLINE Vec exp_nonpositive(Vec x) {
  const IntTag ints;
  const Vec magic = constant(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec shifted = hn::MulAdd(x, constant(1.44269504F), magic);
  const Vec n = hn::Sub(shifted, magic);
  Vec r = hn::NegMulAdd(n, constant(0.693359375F), x);
  r = hn::MulAdd(n, constant(2.12194440e-4F), r);
  Vec y = hn::MulAdd(r, constant(1.3814540088e-3F), constant(8.3687451076e-3F));
  y = hn::MulAdd(r, y, constant(4.1668390785e-2F));
  y = hn::MulAdd(r, y, constant(1.6666520399e-1F));
  y = hn::MulAdd(r, y, constant(4.9999993432e-1F));
  y = hn::Add(hn::MulAdd(hn::Mul(r, r), y, r), constant(1.0F));
  const auto power = hn::Add(hn::ShiftLeft<23>(hn::BitCast(ints, shifted)), hn::Set(ints, 0x3f800000));
  return hn::IfThenZeroElse(hn::Lt(x, constant(-87.0F)), hn::Mul(y, hn::BitCast(Tag(), power)));
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE::vectors
HWY_AFTER_NAMESPACE();
#endif
