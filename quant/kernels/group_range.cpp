#include "quant/kernels/group_range.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/group_range.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

GroupRange range(const float* w, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto lowest = hn::Zero(d);
  auto highest = hn::Zero(d);
  auto poison = hn::Zero(d);  // x - x is NaN for NaN and infinity, else 0
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto x = hn::LoadU(d, w + i);
    lowest = hn::Min(lowest, x);
    highest = hn::Max(highest, x);
    poison = hn::Add(poison, hn::Sub(x, x));
  }
  GroupRange found{hn::GetLane(hn::MinOfLanes(d, lowest)), hn::GetLane(hn::MaxOfLanes(d, highest)),
                   hn::AllTrue(d, hn::Eq(poison, hn::Zero(d)))};
  for (; i < count; ++i) {
    found.lowest = w[i] < found.lowest ? w[i] : found.lowest;
    found.highest = w[i] > found.highest ? w[i] : found.highest;
    found.is_finite = found.is_finite && w[i] - w[i] == 0.0F;
  }
  return found;
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

HWY_EXPORT(range);

GroupRange range_of(std::span<const float> w) {
  return HWY_DYNAMIC_DISPATCH(range)(w.data(), w.size());
}

}  // namespace bitlaw::quant
#endif
