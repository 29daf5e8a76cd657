#include "quant/kernels/token_quant.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/token_quant.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/block_format.h"
#include "quant/float_format.h"
#include "quant/kernels/fake_quant_math.h"
#include "quant/kernels/level_quant-inl.h"
#include "quant/learned_scale.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

struct Extremes {
  float lowest = 0.0F;  // zero is always within the range
  float highest = 0.0F;
};

template <class Value>
HWY_INLINE Extremes extremes_of(const Value* x, std::int64_t width) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Vector lowest = hn::Zero(d);
  Vector highest = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const Vector value = load(x + i);
    lowest = hn::Min(value, lowest);
    highest = hn::Max(value, highest);
  }
  Extremes result{hn::GetLane(hn::MinOfLanes(d, lowest)), hn::GetLane(hn::MaxOfLanes(d, highest))};
  for (; i < width; ++i) {
    result.lowest = std::min(result.lowest, to_float(x[i]));
    result.highest = std::max(result.highest, to_float(x[i]));
  }
  return result;
}

// Of a symmetric row with the level `top` for its amax. NaN where the row holds an infinity, which a clamped
// scale would hide.
HWY_INLINE float scale_of(const QuantSpec& spec, const Extremes& range, float top) {
  const float amax = std::max(-range.lowest, range.highest);
  if (std::isinf(amax)) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  const ScaleType type = spec.fields().scale_dtype;
  return type == ScaleType::e8m0 ? mx_scale(amax, spec) : storable_scale(amax / top, type);
}

GroupConstants grid_of(const QuantSpec& spec, const Extremes& range) {
  const auto steps = static_cast<float>(spec.q_max() - spec.q_min());
  const auto q_min = static_cast<float>(spec.q_min());
  const auto q_max = static_cast<float>(spec.q_max());
  const auto offset = static_cast<float>(spec.level_offset());
  if (spec.fields().symmetric) {
    return {scale_of(spec, range, steps / 2.0F), 0.0F - offset, offset, q_min, q_max};
  }
  const bool infinite = std::isinf(range.lowest) || std::isinf(range.highest);
  const float scale = infinite
                          ? std::numeric_limits<float>::quiet_NaN()
                          : storable_scale((range.highest - range.lowest) / steps, spec.fields().scale_dtype);
  const float zero_point = std::clamp(std::nearbyint(q_min - range.lowest / scale), q_min, q_max);
  return {scale, zero_point, 0.0F - zero_point, q_min, q_max};
}

template <class Value>
HWY_INLINE void quantise_rows(const QuantSpec& spec, const Value* x, std::int64_t width, Value* into,
                              RowRange rows) {
  const bool floating = spec.fields().type == NumberType::floating;
  const FloatElement element = floating ? element_of(*spec.fields().format) : FloatElement();
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const Value* from = x + row * width;
    const Extremes range = extremes_of(from, width);
    if (floating) {
      const float scale = scale_of(spec, range, element.largest);
      quantise_group(FloatGroup{{scale, scale, false}, element}, from, into + row * width, width);
    } else {
      quantise_group(grid_of(spec, range), from, into + row * width, width);
    }
  }
}

void rows_float(const QuantSpec& spec, const float* x, std::int64_t width, float* into, RowRange rows) {
  quantise_rows(spec, x, width, into, rows);
}
void rows_bfloat16(const QuantSpec& spec, const std::uint16_t* x, std::int64_t width, std::uint16_t* into,
                   RowRange rows) {
  quantise_rows(spec, x, width, into, rows);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(rows_float);
HWY_EXPORT(rows_bfloat16);
}  // namespace

void fake_quantise_tokens(const QuantSpec& spec, const float* x, std::int64_t width, float* into,
                          RowRange rows) {
  HWY_DYNAMIC_DISPATCH(rows_float)(spec, x, width, into, rows);
}

void fake_quantise_tokens(const QuantSpec& spec, const std::uint16_t* x, std::int64_t width,
                          std::uint16_t* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(rows_bfloat16)(spec, x, width, into, rows);
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
