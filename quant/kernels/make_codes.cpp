// Codes of a weight: the integer half of fake_quant.h, by fewer operations than values take. What differs
// from fake_quant_math.h and level_quant_math.h gives the same codes:
//   grid     rounding and clamping to whole numbers commute; adding 1.5 * 2^23 rounds a small number to an
//            integer, half to even, and leaves it in the lowest bits
//   floats   in round_magnitude the last bits of inside + base count steps from base: with the distance of
//            the exponents in front of them they are the pattern, subnormal numbers included
// w is finite but for the one question whether it is, so comparisons are those of integers.
#include "quant/kernels/fake_quant.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/make_codes.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "quant/kernels/fake_quant_math.h"
#include "quant/kernels/level_quant-inl.h"
#include "quant/kernels/plan_groups.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

using Patterns = hn::RebindToUnsigned<Floats>;
using PatternVector = hn::Vec<Patterns>;

// A coder holds what all groups share; group(index) adds what one group has; code(w, group) leaves codes in
// the lowest byte of each lane.
class GridCoder {
 public:
  explicit GridCoder(const FakeQuantPlan& plan)
      : plan_(plan),
        q_min_(hn::Set(Floats(), plan.q_min)),
        q_max_(hn::Set(Floats(), plan.q_max)),
        magic_(hn::Set(Floats(), 0x1.8p23F + plan.code_offset)) {}

  struct Group {
    Vector scale;
    Vector shift;
  };
  HWY_INLINE Group group(std::int64_t index) const {
    const GroupConstants one = grid_group(plan_, index);
    return {hn::Set(Floats(), one.scale), hn::Set(Floats(), one.shift)};
  }
  HWY_INLINE PatternVector code(Vector w, const Group& group) const {
    const Vector exact = hn::Add(hn::Div(w, group.scale), group.shift);
    const Vector inside = hn::Min(hn::Max(exact, q_min_), q_max_);
    return hn::BitCast(Patterns(), hn::Add(inside, magic_));
  }
  HWY_INLINE std::uint8_t code_of_one(float w, std::int64_t index) const {
    const GroupConstants one = grid_group(plan_, index);
    return quant::code_of(quant::locate(w, one), one);
  }

 private:
  FakeQuantPlan plan_;
  Vector q_min_;
  Vector q_max_;
  Vector magic_;
};

// The quotient of formats that are no grid, under one scale or under one of each sign.
struct OneScale {
  static HWY_INLINE OneScale of(const FakeQuantPlan& plan, std::int64_t index) {
    return {hn::Set(Floats(), plan.scale[index])};
  }
  HWY_INLINE Vector quotient(Vector w) const { return hn::Div(w, scale); }

  Vector scale;
};
struct SideScales {
  static HWY_INLINE SideScales of(const FakeQuantPlan& plan, std::int64_t index) {
    return {hn::Set(Floats(), plan.scale[index]), hn::Set(Floats(), plan.scale_negative[index])};
  }
  HWY_INLINE Vector quotient(Vector w) const {
    const Mask sign = hn::RebindMask(Floats(), hn::Lt(hn::BitCast(Words(), w), hn::Zero(Words())));
    return hn::Div(w, hn::IfThenElse(sign, negative, positive));
  }

  Vector positive;
  Vector negative;
};

template <class Scales>
class FloatCoder {
 public:
  explicit FloatCoder(const FakeQuantPlan& plan)
      : plan_(plan),
        largest_(hn::BitCast(Words(), hn::Set(Floats(), plan.element.largest))),
        min_normal_(hn::BitCast(Words(), hn::Set(Floats(), plan.element.min_normal))),
        magic_exponent_(hn::Set(Words(), (23 - plan.element.mantissa_bits) << 23)),
        sign_bit_(hn::Set(Words(), static_cast<std::int32_t>(plan.element.sign_bit))) {}

  using Group = Scales;
  HWY_INLINE Group group(std::int64_t index) const { return Scales::of(plan_, index); }
  HWY_INLINE PatternVector code(Vector w, const Group& group) const {
    const Words words;
    const WordVector magnitude = hn::BitCast(words, hn::Abs(group.quotient(w)));
    const WordVector inside = hn::Min(magnitude, largest_);
    const WordVector power = hn::Max(hn::And(inside, hn::Set(words, 0x7F800000)), min_normal_);
    const WordVector base = hn::Add(power, magic_exponent_);  // power * magic
    const Vector sum = hn::Add(hn::BitCast(Floats(), inside), hn::BitCast(Floats(), base));
    const WordVector steps = hn::Sub(hn::BitCast(words, sum), base);
    const WordVector exponent =
        hn::ShiftRightSame(hn::Sub(power, min_normal_), 23 - plan_.element.mantissa_bits);
    const WordVector sign = hn::And(hn::BroadcastSignBit(hn::BitCast(words, w)), sign_bit_);
    return hn::BitCast(Patterns(), hn::Or(hn::Add(steps, exponent), sign));
  }
  HWY_INLINE std::uint8_t code_of_one(float w, std::int64_t index) const {
    const FloatGroup one = float_group(plan_, index);
    return quant::code_of(quant::locate(w, one), one);
  }

 private:
  FakeQuantPlan plan_;
  WordVector largest_;
  WordVector min_normal_;
  WordVector magic_exponent_;
  WordVector sign_bit_;
};

template <class Scales>
class TableCoder {
 public:
  explicit TableCoder(const FakeQuantPlan& plan) : plan_(plan), thresholds_(hn::Zero(Floats())) {
    HWY_ALIGN float first[kPartialSums] = {};
    std::copy_n(plan.thresholds, std::min<int>(plan.level_count - 1, kPartialSums), first);
    thresholds_ = hn::Load(Floats(), first);
  }

  using Group = Scales;
  HWY_INLINE Group group(std::int64_t index) const { return Scales::of(plan_, index); }
  // The number of thresholds below: by halves where all of them fit in a vector.
  HWY_INLINE PatternVector code(Vector w, const Group& group) const {
    const Vector exact = group.quotient(w);
    const Patterns patterns;
    PatternVector index = hn::Zero(patterns);
    if (plan_.level_count > static_cast<int>(hn::Lanes(Floats()))) {
      for (int i = 0; i + 1 < plan_.level_count; ++i) {
        const Mask above = hn::Gt(exact, hn::Set(Floats(), plan_.thresholds[i]));
        index = hn::IfThenElse(hn::RebindMask(patterns, above), word(i + 1), index);
      }
      return index;
    }
    for (int half = plan_.level_count / 2; half > 0; half /= 2) {
      const PatternVector next = hn::Add(index, word(half));
      const auto places = hn::IndicesFromVec(Floats(), hn::Sub(next, word(1)));
      const Mask above = hn::Gt(exact, hn::TableLookupLanes(thresholds_, places));
      index = hn::IfThenElse(hn::RebindMask(patterns, above), next, index);
    }
    return index;
  }
  HWY_INLINE std::uint8_t code_of_one(float w, std::int64_t index) const {
    const TableGroup one = table_group(plan_, index);
    return quant::code_of(quant::locate(w, one), one);
  }

 private:
  static HWY_INLINE PatternVector word(int value) {
    return hn::Set(Patterns(), static_cast<std::uint32_t>(value));
  }

  FakeQuantPlan plan_;
  Vector thresholds_;
};

// Whether all elements are finite. `plan` is a copy: bytes that are written may lie anywhere.
template <class Coder>
HWY_INLINE bool code_rows(const FakeQuantPlan plan, const float* w, std::uint8_t* into, RowRange rows) {
  const Floats d;
  const hn::Rebind<std::uint8_t, Floats> bytes;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const Coder coder(plan);
  WordVector peak = hn::Zero(Words());
  bool rest_is_finite = true;
  const float* from = w + rows.first * plan.in_features;
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const std::int64_t first = row / plan.rows_per_scale * plan.groups;
    for (std::int64_t index = first; index < first + plan.groups; ++index) {
      const typename Coder::Group group = coder.group(index);
      std::int64_t i = 0;
      for (; i + lanes <= plan.group_width; i += lanes) {
        const Vector x = load(from + i);
        peak = hn::Max(peak, hn::BitCast(Words(), hn::Abs(x)));
        hn::StoreU(hn::TruncateTo(bytes, coder.code(x, group)), bytes, into + i);
      }
      for (; i < plan.group_width; ++i) {
        const bool finite = std::isfinite(from[i]);
        rest_is_finite = rest_is_finite && finite;
        into[i] = finite ? coder.code_of_one(from[i], index) : std::uint8_t{0};
      }
      from += plan.group_width;
      into += plan.group_width;
    }
  }
  return rest_is_finite && hn::AllTrue(Words(), hn::Lt(peak, hn::Set(Words(), 0x7F800000)));
}

bool codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows) {
  const bool one_scale = plan.scale_negative == nullptr;
  switch (plan.type) {
    case NumberType::floating:
      return one_scale ? code_rows<FloatCoder<OneScale>>(plan, w, into, rows)
                       : code_rows<FloatCoder<SideScales>>(plan, w, into, rows);
    case NumberType::quantile:
      return one_scale ? code_rows<TableCoder<OneScale>>(plan, w, into, rows)
                       : code_rows<TableCoder<SideScales>>(plan, w, into, rows);
    case NumberType::integer:
    case NumberType::ternary:
      break;
  }
  return code_rows<GridCoder>(plan, w, into, rows);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(codes);
}  // namespace

bool make_codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows) {
  return HWY_DYNAMIC_DISPATCH(codes)(plan, w, into, rows);
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
