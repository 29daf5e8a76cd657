#include "quant/kernels/exponential.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/exponential.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>

#include "quant/kernels/exponential_math.h"
#include "quant/kernels/storable_scale-inl.h"
#include "quant/learned_scale.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::ScalableTag<double>;
using Floats = hn::Rebind<float, Doubles>;
using DoubleVector = hn::Vec<Doubles>;
using FloatVector = hn::Vec<Floats>;

HWY_INLINE FloatVector exponential(FloatVector argument) {
  using C = ExponentialConstants;
  const Doubles d;
  const hn::RebindToUnsigned<Doubles> words;
  const DoubleVector given = hn::PromoteTo(d, argument);
  const DoubleVector lower =
      hn::IfThenElse(hn::Lt(given, hn::Set(d, C::kLowest)), hn::Set(d, C::kLowest), given);
  const DoubleVector x =
      hn::IfThenElse(hn::Gt(lower, hn::Set(d, C::kHighest)), hn::Set(d, C::kHighest), lower);
  const DoubleVector shifted = hn::Add(hn::Mul(x, hn::Set(d, C::kLog2E)), hn::Set(d, C::kMagic));
  const DoubleVector n = hn::Sub(shifted, hn::Set(d, C::kMagic));
  const DoubleVector r =
      hn::Sub(hn::Sub(x, hn::Mul(n, hn::Set(d, C::kLn2High))), hn::Mul(n, hn::Set(d, C::kLn2Low)));
  DoubleVector sum = hn::Set(d, C::kTaylor[0]);
  for (int k = 1; k < 12; ++k) {
    sum = hn::Add(hn::Mul(sum, r), hn::Set(d, C::kTaylor[k]));
  }
  const auto exponent = hn::ShiftLeft<52>(hn::Add(hn::BitCast(words, shifted), hn::Set(words, 1023)));
  const DoubleVector result = hn::Mul(sum, hn::BitCast(d, exponent));
  const DoubleVector largest = hn::Set(d, C::kLargest);
  return hn::DemoteTo(Floats(), hn::IfThenElse(hn::Gt(result, largest), largest, result));
}

void exponentials(const float* log_scale, std::int64_t count, float* into) {
  const Floats f;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(exponential(hn::LoadU(f, log_scale + i)), f, into + i);
  }
  for (; i < count; ++i) {
    into[i] = unrounded_scale(log_scale[i]);
  }
}

void storable_exponentials(const float* log_scale, std::int64_t count, ScaleType type, float* into) {
  const Floats f;
  const ScaleLimits limits = limits_of(type);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(storable(f, exponential(hn::LoadU(f, log_scale + i)), limits), f, into + i);
  }
  for (; i < count; ++i) {
    into[i] = scale_of_log(log_scale[i], type);
  }
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(exponentials);
HWY_EXPORT(storable_exponentials);
}  // namespace

void unrounded_scales(const float* log_scale, std::int64_t count, float* into) {
  HWY_DYNAMIC_DISPATCH(exponentials)(log_scale, count, into);
}

void scales_of_logs(const float* log_scale, std::int64_t count, ScaleType type, float* into) {
  if (bits_of(type) > 8) {
    HWY_DYNAMIC_DISPATCH(storable_exponentials)(log_scale, count, type, into);
    return;
  }
  unrounded_scales(log_scale, count, into);
  std::transform(into, into + count, into, [type](float scale) { return storable_scale(scale, type); });
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
