#include "quant/kernels/absmax_scales.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/absmax_scales.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "quant/block_format.h"
#include "quant/kernels/storable_scale-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using Words = hn::RebindToSigned<Floats>;
using Vector = hn::Vec<Floats>;
using WordVector = hn::Vec<Words>;
constexpr std::size_t kLanes = hn::MaxLanes(Floats());

// Bit patterns of numbers without sign are in the order of the numbers, NaN above infinity above all others.
// So extremes are those of integers, of zero and...
struct Magnitudes {  // ... |x|
  static HWY_INLINE WordVector of(WordVector bits) { return hn::And(bits, hn::Set(Words(), 0x7FFFFFFF)); }
};
struct Positives {  // ... x: patterns of negative numbers are below zero
  static HWY_INLINE WordVector of(WordVector bits) { return bits; }
};
struct Negatives {  // ... -x
  static HWY_INLINE WordVector of(WordVector bits) {
    return hn::Xor(bits, hn::Set(Words(), static_cast<std::int32_t>(0x80000000U)));
  }
};

// The last elements of a group, zeros behind them.
HWY_INLINE WordVector load_last(const float* w, std::size_t count) {
  HWY_ALIGN float last[kLanes] = {};
  std::copy(w, w + count, last);
  return hn::BitCast(Words(), hn::Load(Floats(), last));
}

// Lane i of the result: the largest lane of peaks[i].
#if HWY_TARGET == HWY_SCALAR  // one lane, and no operations between lanes
HWY_INLINE WordVector largest_lanes(const WordVector* peaks) {
  return peaks[0];
}
#else
HWY_INLINE WordVector largest_lanes(WordVector* peaks) {
  const Words words;
  for (std::size_t left = kLanes; left > 1; left /= 2) {
    for (std::size_t i = 0; i < left / 2; ++i) {
      peaks[i] = hn::Max(hn::ConcatEven(words, peaks[2 * i + 1], peaks[2 * i]),
                         hn::ConcatOdd(words, peaks[2 * i + 1], peaks[2 * i]));
    }
  }
  return peaks[0];
}
#endif

// Extremes of kLanes groups, or of fewer and zeros.
template <class Side>
HWY_INLINE WordVector extremes(const float* w, std::size_t width, std::size_t groups) {
  const Floats d;
  if (width == 1 && groups == kLanes) {
    return hn::Max(hn::Zero(Words()), Side::of(hn::BitCast(Words(), hn::LoadU(d, w))));
  }
  WordVector peaks[kLanes];
  for (std::size_t group = 0; group < kLanes; ++group) {
    peaks[group] = hn::Zero(Words());
    if (group >= groups) {
      continue;
    }
    const float* const from = w + group * width;
    std::size_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      peaks[group] = hn::Max(peaks[group], Side::of(hn::BitCast(Words(), hn::LoadU(d, from + i))));
    }
    if (i < width) {
      peaks[group] = hn::Max(peaks[group], Side::of(load_last(from + i, width - i)));
    }
  }
  return largest_lanes(peaks);
}

// 2^(floor(log2 amax) - element exponent), at least 2^-127: the exponent's bits, and the one subnormal power.
HWY_INLINE Vector mx_scales(WordVector amax, int element_exponent) {
  const Words words;
  const WordVector exponent = hn::Sub(hn::ShiftRight<23>(amax), hn::Set(words, element_exponent));
  const WordVector normal = hn::ShiftLeft<23>(hn::Max(exponent, hn::Zero(words)));
  const WordVector power =
      hn::IfThenElse(hn::Gt(exponent, hn::Zero(words)), normal, hn::Set(words, 0x00400000));
  return hn::BitCast(Floats(), power);
}

HWY_INLINE Vector scales_of_amax(WordVector amax, const AbsmaxRule& rule) {
  const Floats d;
  if (rule.limits.type == ScaleType::e8m0) {
    return mx_scales(amax, rule.element_exponent);
  }
  const Vector exact = hn::Div(hn::BitCast(d, amax), hn::Set(d, rule.top_level));
  return storable(d, hn::Div(exact, hn::Set(d, rule.global_scale)), rule.limits);
}

// Where the range [-below, above] begins, in codes.
HWY_INLINE Vector zero_points(Vector below, Vector scale, const AbsmaxRule& rule) {
  const Floats d;
  const Vector q_min = hn::Set(d, rule.q_min);
  const Vector q_max = hn::Set(d, rule.q_max);
  const Vector exact = hn::Add(q_min, hn::Div(below, scale));
  const Vector rounded =
      rule.real_zero_point ? hn::CopySignToAbs(round_to_float16(d, hn::Abs(exact)), exact) : hn::Round(exact);
  const Vector lower = hn::IfThenElse(hn::Lt(rounded, q_min), q_min, rounded);
  return hn::IfThenElse(hn::Gt(lower, q_max), q_max, lower);
}

// The first `count` lanes.
HWY_INLINE void store_first(Vector x, float* into, std::size_t count) {
  if (count == kLanes) {
    hn::StoreU(x, Floats(), into);
    return;
  }
  HWY_ALIGN float all[kLanes];
  hn::Store(x, Floats(), all);
  std::copy(all, all + count, into);
}

HWY_INLINE bool all_finite(WordVector peak) {
  return hn::AllTrue(Words(), hn::Lt(peak, hn::Set(Words(), 0x7F800000)));
}

class Batches {
 public:
  Batches(const AbsmaxRule& rule, const AbsmaxScales& into)
      : rule_(rule), into_(into), peak_(hn::Zero(Words())) {}

  HWY_INLINE void add(const float* w, std::size_t width, std::size_t first, std::size_t count) {
    if (into_.scale_negative.empty() && into_.zero_point.empty()) {
      const WordVector amax = seen(extremes<Magnitudes>(w, width, count));
      store_first(scales_of_amax(amax, rule_), into_.scale.data() + first, count);
      return;
    }
    const WordVector above = seen(extremes<Positives>(w, width, count));
    const WordVector below = seen(extremes<Negatives>(w, width, count));
    if (!into_.scale_negative.empty()) {
      store_first(scales_of_amax(above, rule_), into_.scale.data() + first, count);
      store_first(scales_of_amax(below, rule_), into_.scale_negative.data() + first, count);
      return;
    }
    const Floats d;
    const Vector span = hn::Add(hn::BitCast(d, above), hn::BitCast(d, below));
    const Vector exact = hn::Div(span, hn::Set(d, rule_.q_max - rule_.q_min));
    const Vector scale = storable(d, hn::Div(exact, hn::Set(d, rule_.global_scale)), rule_.limits);
    store_first(scale, into_.scale.data() + first, count);
    store_first(zero_points(hn::BitCast(d, below), scale, rule_), into_.zero_point.data() + first, count);
  }

  HWY_INLINE bool are_finite() const { return all_finite(peak_); }

 private:
  HWY_INLINE WordVector seen(WordVector extremes) {
    peak_ = hn::Max(peak_, extremes);
    return extremes;
  }

  AbsmaxRule rule_;
  AbsmaxScales into_;
  WordVector peak_;
};

bool scales(const AbsmaxRule& rule, std::span<const float> w, std::size_t width, const AbsmaxScales& into) {
  const std::size_t groups = w.size() / width;
  Batches batches(rule, into);
  for (std::size_t first = 0; first < groups; first += kLanes) {
    batches.add(w.data() + first * width, width, first, std::min(kLanes, groups - first));
  }
  return batches.are_finite();
}

bool amaxes(std::span<const float> w, std::size_t width, std::span<float> into) {
  WordVector peak = hn::Zero(Words());
  for (std::size_t first = 0; first < into.size(); first += kLanes) {
    const std::size_t count = std::min(kLanes, into.size() - first);
    const WordVector amax = extremes<Magnitudes>(w.data() + first * width, width, count);
    peak = hn::Max(peak, amax);
    store_first(hn::BitCast(Floats(), amax), into.data() + first, count);
  }
  return all_finite(peak);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(scales);
HWY_EXPORT(amaxes);
}  // namespace

AbsmaxRule absmax_rule(const QuantSpec& spec, float global_scale) {
  AbsmaxRule rule;
  rule.limits = limits_of(spec.fields().scale_dtype);
  rule.global_scale = global_scale;
  rule.top_level = top_level(spec);
  rule.element_exponent = element_exponent(spec);
  rule.q_min = static_cast<float>(spec.q_min());
  rule.q_max = static_cast<float>(spec.q_max());
  rule.real_zero_point = spec.has_real_zero_point();
  return rule;
}

bool absmax_scales(const AbsmaxRule& rule, std::span<const float> w, std::size_t width,
                   const AbsmaxScales& into) {
  return HWY_DYNAMIC_DISPATCH(scales)(rule, w, width, into);
}

bool group_amaxes(std::span<const float> w, std::size_t width, std::span<float> into) {
  return HWY_DYNAMIC_DISPATCH(amaxes)(w, width, into);
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
