// Blocks of 16 classes as SIMD vectors of any width, and exp and log on them, the same bits for each width.
//
// Included once per instruction set by divergence_rows.cpp. Lane l of a block of 16 is class 16 b + l; a sum
// over a row is 16 sums, one per lane, made in rising order of b in runs of kRun blocks. No multiply-add is
// fused, so that the width and the instruction set do not show.
#include <hwy/highway.h>

#if defined(BITLAW_LOSSES_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BITLAW_LOSSES_LANES_INL_H_
#undef BITLAW_LOSSES_LANES_INL_H_
#else
#define BITLAW_LOSSES_LANES_INL_H_
#endif

#include <array>
#include <cstddef>
#include <cstdint>

#include "distill/losses/kernels/portable_lanes.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::distill::kernels::HWY_NAMESPACE {

constexpr std::size_t kBlock = 16;
constexpr std::size_t kRun = 16;  // blocks summed before they join the sum of the row: rounding grows slowly

#if HWY_TARGET == HWY_SCALAR
namespace hn = portable;
using Floats = portable::Floats;
using Ints = portable::Ints;
using FloatVec = portable::FloatVector;
using FloatMask = portable::Mask;
constexpr std::size_t kLanes = portable::kLaneCount;
#else
namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::CappedTag<float, kBlock>;
using Ints = hn::RebindToSigned<Floats>;
using FloatVec = hn::Vec<Floats>;
using FloatMask = hn::Mask<Floats>;
constexpr std::size_t kLanes = hn::MaxLanes(Floats());
#endif
constexpr std::size_t kParts = kBlock / kLanes;  // vectors in a block

constexpr std::size_t padded(std::size_t classes) {
  return (classes + kBlock - 1) / kBlock * kBlock;
}

// exp(x) for x <= 0 within 1.1 units in the last place; 0 below -100 log 2 (2^-100 beside a maximum of 1 is
// below any rounding here, and products of what is left are never denormal); NaN stays NaN.
// 2^n exp(r), n = round(x / log 2) by adding 1.5 * 2^23; the polynomial is the degree-6 minimax of exp on
// |r| <= log(2) / 2 that is exact to first order (relative error 3.1e-9).
HWY_INLINE FloatVec exp_nonpositive(FloatVec x) {
  const Floats d;
  const Ints di;
  const auto magic = hn::Set(d, 12582912.0f);
  const auto shifted = hn::Add(hn::Mul(x, hn::Set(d, 1.44269504f)), magic);
  const auto n = hn::Sub(shifted, magic);
  auto r = hn::Sub(x, hn::Mul(n, hn::Set(d, 0.693359375f)));
  r = hn::Add(r, hn::Mul(n, hn::Set(d, 2.12194440e-4f)));
  auto y = hn::Add(hn::Mul(r, hn::Set(d, 1.3814540088e-3f)), hn::Set(d, 8.3687451076e-3f));
  y = hn::Add(hn::Mul(r, y), hn::Set(d, 4.1668390785e-2f));
  y = hn::Add(hn::Mul(r, y), hn::Set(d, 1.6666520399e-1f));
  y = hn::Add(hn::Mul(r, y), hn::Set(d, 4.9999993432e-1f));
  y = hn::Add(hn::Add(hn::Mul(hn::Mul(r, r), y), r), hn::Set(d, 1.0f));
  const auto power = hn::Add(hn::ShiftLeft<23>(hn::BitCast(di, shifted)), hn::Set(di, 0x3f800000));
  const auto value = hn::Mul(y, hn::BitCast(d, power));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -69.3147181f)), value);
}

// log(x) for normal positive x within 1 unit in the last place; NaN stays NaN. Cephes' logf.
HWY_INLINE FloatVec log_positive(FloatVec x) {
  const Floats d;
  const Ints di;
  const auto bits = hn::BitCast(di, x);
  const auto exponent = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3f3504f3)));
  const auto f = hn::Sub(hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(exponent))), hn::Set(d, 1.0f));
  const auto e = hn::ConvertTo(d, exponent);
  constexpr float kCoefficients[] = {-1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f,
                                     1.4249322787e-1f,  -1.6668057665e-1f, 2.0000714765e-1f,
                                     -2.4999993993e-1f, 3.3333331174e-1f};
  auto y = hn::Set(d, 7.0376836292e-2f);
  for (const float c : kCoefficients) y = hn::Add(hn::Mul(y, f), hn::Set(d, c));
  const auto square = hn::Mul(f, f);
  y = hn::Mul(hn::Mul(y, f), square);
  y = hn::Sub(y, hn::Mul(e, hn::Set(d, 2.12194440e-4f)));
  y = hn::Sub(y, hn::Mul(square, hn::Set(d, 0.5f)));
  const auto value = hn::Add(hn::Add(f, y), hn::Mul(e, hn::Set(d, 0.693359375f)));
  return hn::IfThenElse(hn::Eq(x, x), value, x);
}

// A set of classes: one bit a class, in the layout that Highway reads fastest: kMaskBytes bytes a vector.
constexpr std::size_t kMaskBytes = (kLanes + 7) / 8;
constexpr std::size_t mask_size(std::size_t classes) {
  return padded(classes) / kLanes * kMaskBytes;
}
HWY_INLINE FloatMask members_at(const std::uint8_t* members, std::size_t i) {
  return hn::LoadMaskBits(Floats(), members + i / kLanes * kMaskBytes);
}

// Sums over a row. Pass has `void step(size_t i, FloatVec* sums)`, which works on the vector of classes from
// i on and adds to its sums. Each lane's classes are visited by rising i whatever the width; one part of all
// blocks of a run after the other, so that sums stay in registers.
template <std::size_t kCount, class Pass>
HWY_INLINE void run_over(Pass& pass, std::size_t begin, std::size_t end, FloatVec (&total)[kCount][kParts]) {
  for (std::size_t part = 0; part < kParts; ++part) {
    FloatVec sums[kCount];
    for (auto& sum : sums) sum = hn::Zero(Floats());
    for (std::size_t i = begin + part * kLanes; i < end; i += kBlock) pass.step(i, sums);
    for (std::size_t k = 0; k < kCount; ++k) total[k][part] = hn::Add(total[k][part], sums[k]);
  }
}

template <std::size_t kCount, class Pass>
HWY_INLINE std::array<double, kCount> sum_over_row(Pass& pass, std::size_t size) {
  const Floats d;
  FloatVec total[kCount][kParts];
  for (auto& row : total) {
    for (auto& sum : row) sum = hn::Zero(d);
  }
  for (std::size_t begin = 0; begin < size; begin += kRun * kBlock) {
    run_over<kCount>(pass, begin, HWY_MIN(begin + kRun * kBlock, size), total);
  }
  std::array<double, kCount> result;
  for (std::size_t k = 0; k < kCount; ++k) {
    HWY_ALIGN float lanes[kBlock];
    for (std::size_t part = 0; part < kParts; ++part) hn::Store(total[k][part], d, lanes + part * kLanes);
    double sum = 0;
    for (const float lane : lanes) sum += static_cast<double>(lane);
    result[k] = sum;
  }
  return result;
}

}  // namespace bitlaw::distill::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
