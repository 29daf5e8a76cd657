#include "quant/kernels/frozen_codes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/frozen_codes.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "quant/kernels/fake_quant-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

using Doubles = hn::CappedTag<double, 8>;
using HalfFloats = hn::Rebind<float, Doubles>;

constexpr std::int64_t kSpan = 64;  // inputs at a time
constexpr std::int64_t kRows = 8;   // whose sums, each in its own order, go side by side

// The levels of codes: by arithmetic, from a table in a vector, or from one in memory.
class Levels {
 public:
  explicit Levels(const FrozenPlan& plan)
      : levels_(plan.levels),
        first_(hn::Set(Floats(), plan.first_level.value_or(0.0F))),
        table_(hn::Zero(Floats())),
        kind_(plan.first_level ? Kind::grid
                               : (levels_.size() <= hn::Lanes(Floats()) ? Kind::small : Kind::large)) {
    HWY_ALIGN float table[kPartialSums] = {};
    std::copy_n(levels_.begin(), std::min<std::size_t>(levels_.size(), kPartialSums), table);
    table_ = hn::Load(Floats(), table);
  }

  HWY_INLINE Vector of(const std::uint8_t* codes) const {
    const hn::Rebind<std::uint8_t, Floats> bytes;
    const WordVector index = hn::PromoteTo(Words(), hn::LoadU(bytes, codes));
    if (kind_ == Kind::grid) {
      return hn::Add(hn::ConvertTo(Floats(), index), first_);
    }
    return kind_ == Kind::small ? hn::TableLookupLanes(table_, hn::IndicesFromVec(Floats(), index))
                                : hn::GatherIndex(Floats(), levels_.data(), index);
  }
  float of_one(std::uint8_t code) const { return levels_[code]; }

 private:
  enum class Kind { grid, small, large };

  std::span<const float> levels_;
  Vector first_;
  Vector table_;
  Kind kind_;
};

// What a row has for each group: zero points or scales; nothing is 0.
struct OfGroups {
  const float* values = nullptr;
  const std::int32_t* index = nullptr;  // of each input; null: all inputs are of the first group

  HWY_INLINE Vector at(std::int64_t i) const {
    if (values == nullptr) {
      return hn::Zero(Floats());
    }
    return index == nullptr ? hn::Set(Floats(), values[0])
                            : hn::GatherIndex(Floats(), values, hn::LoadU(Words(), index + i));
  }
  float at_one(std::int64_t i) const {
    return values == nullptr ? 0.0F : values[index == nullptr ? 0 : index[i]];
  }
};

// Inputs of one row with one group, or with scattered ones.
struct Part {
  std::int64_t row = 0;
  std::int64_t first = 0;
  std::int64_t width = 0;
  std::int64_t group = 0;  // of all inputs; the first one of the row where groups are scattered
};

HWY_INLINE OfGroups of_groups(const FrozenPlan& plan, const float* values, const Part& part) {
  if (values == nullptr) {
    return {};
  }
  const std::int64_t shared = part.row / plan.rows_per_scale * plan.groups + part.group;
  return {values + shared, plan.group_index == nullptr ? nullptr : plan.group_index + part.first};
}

// into[i] = level - zero point
HWY_INLINE void shifted_levels(const FrozenPlan& plan, const Levels& levels, const Part& part, float* into) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Floats()));
  const std::uint8_t* const codes = plan.codes + part.row * plan.in_features + part.first;
  const OfGroups zero_point = of_groups(plan, plan.zero_point, part);
  std::int64_t i = 0;
  for (; i + lanes <= part.width; i += lanes) {
    store(hn::Sub(levels.of(codes + i), zero_point.at(i)), into + i);
  }
  for (; i < part.width; ++i) {
    into[i] = levels.of_one(codes[i]) - zero_point.at_one(i);
  }
}

template <class Out>
HWY_INLINE void multiply(const FrozenPlan& plan, const Part& part, const float* levels, Out* into) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Floats()));
  const OfGroups positive = of_groups(plan, plan.scale, part);
  const OfGroups negative =
      of_groups(plan, plan.scale_negative == nullptr ? plan.scale : plan.scale_negative, part);
  std::int64_t i = 0;
  for (; i + lanes <= part.width; i += lanes) {
    const Vector level = load(levels + i);
    const Mask sign = hn::RebindMask(Floats(), hn::Lt(hn::BitCast(Words(), level), hn::Zero(Words())));
    store(hn::Mul(level, hn::IfThenElse(sign, negative.at(i), positive.at(i))), into + i);
  }
  for (; i < part.width; ++i) {
    const OfGroups* const scales = std::signbit(levels[i]) ? &negative : &positive;
    into[i] = from_float<Out>(levels[i] * scales->at_one(i));
  }
}

// body(first input, inputs, group) for parts of a row of at most kSpan inputs.
template <class Body>
HWY_INLINE void for_parts(const FrozenPlan& plan, const Body& body) {
  const bool scattered = plan.group_index != nullptr;
  const std::int64_t width = scattered ? plan.in_features : plan.group_width;
  for (std::int64_t first = 0; first < plan.in_features; first += width) {
    for (std::int64_t i = 0; i < width; i += kSpan) {
      body(first + i, std::min(kSpan, width - i), scattered ? 0 : first / width);
    }
  }
}

template <class Out>
HWY_INLINE void value_rows(const FrozenPlan& plan, Out* into, RowRange rows) {
  const Levels levels(plan);
  HWY_ALIGN float shifted[kSpan];
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    for_parts(plan, [&](std::int64_t first, std::int64_t width, std::int64_t group) {
      const Part part{row, first, width, group};
      shifted_levels(plan, levels, part, shifted);
      multiply(plan, part, shifted, into + row * plan.in_features + first);
    });
  }
}

HWY_INLINE hn::Vec<Doubles> widened(const float* from) {
  return hn::PromoteTo(Doubles(), hn::LoadU(HalfFloats(), from));
}
HWY_INLINE hn::Vec<Doubles> widened(const std::uint16_t* from) {  // bfloat16
  const hn::RebindToUnsigned<HalfFloats> words;
  const hn::Rebind<std::uint16_t, HalfFloats> halves;
  const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(words, hn::LoadU(halves, from)));
  return hn::PromoteTo(Doubles(), hn::BitCast(HalfFloats(), bits));
}

// Terms of kRows rows. A row that is not there has zeros.
struct Terms {
  HWY_ALIGN double of_all[kRows][kSpan] = {};       // levels without a sign where signs have their own scale
  HWY_ALIGN double of_negative[kRows][kSpan] = {};  // the others
};

template <class Gradient>
HWY_INLINE void products(const float* levels, const Gradient* grad, std::int64_t width, double* into) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Doubles()));
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    hn::StoreU(hn::Mul(widened(grad + i), widened(levels + i)), Doubles(), into + i);
  }
  for (; i < width; ++i) {
    into[i] = static_cast<double>(to_float(grad[i])) * static_cast<double>(levels[i]);
  }
}

// Adding a zero leaves a sum that began at +0 as it is.
HWY_INLINE void move_negative(const float* levels, std::int64_t width, double* all, double* negative) {
  for (std::int64_t i = 0; i < width; ++i) {
    const bool sign = std::signbit(levels[i]);
    negative[i] = sign ? all[i] : 0.0;
    all[i] = sign ? 0.0 : all[i];
  }
}

// Adds the terms of a part to sums[row][group], `stride` from row to row.
HWY_INLINE void add_terms(const double (*terms)[kSpan], std::int64_t width, std::int64_t rows, double* sums,
                          std::int64_t stride) {
  double sum[kRows] = {};
  for (std::int64_t row = 0; row < rows; ++row) {
    sum[row] = sums[row * stride];
  }
  for (std::int64_t i = 0; i < width; ++i) {
    for (std::int64_t row = 0; row < kRows; ++row) {
      sum[row] += terms[row][i];
    }
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    sums[row * stride] = sum[row];
  }
}

HWY_INLINE void add_scattered(const double (*terms)[kSpan], const Part& part, std::int64_t rows,
                              const FrozenPlan& plan, double* sums) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < part.width; ++i) {
      sums[(part.row + row) * plan.groups + plan.group_index[part.first + i]] += terms[row][i];
    }
  }
}

HWY_INLINE void add(const double (*terms)[kSpan], const Part& part, std::int64_t rows, const FrozenPlan& plan,
                    double* sums) {
  if (plan.group_index != nullptr) {
    add_scattered(terms, part, rows, plan, sums);
    return;
  }
  add_terms(terms, part.width, rows, sums + part.row * plan.groups + part.group, plan.groups);
}

template <class Gradient>
HWY_INLINE void sum_rows(const FrozenPlan& plan, const Gradient* grad, const FrozenSums& into,
                         RowRange rows) {
  const Levels levels(plan);
  Terms terms;
  HWY_ALIGN float shifted[kSpan];
  for (std::int64_t first_row = rows.first; first_row < rows.last; first_row += kRows) {
    const std::int64_t count = std::min(kRows, rows.last - first_row);
    for_parts(plan, [&](std::int64_t first, std::int64_t width, std::int64_t group) {
      for (std::int64_t row = 0; row < count; ++row) {
        const Part part{first_row + row, first, width, group};
        shifted_levels(plan, levels, part, shifted);
        products(shifted, grad + part.row * plan.in_features + first, width, terms.of_all[row]);
        if (into.scale_negative != nullptr) {
          move_negative(shifted, width, terms.of_all[row], terms.of_negative[row]);
        }
      }
      const Part part{first_row, first, width, group};
      add(terms.of_all, part, count, plan, into.scale);
      if (into.scale_negative != nullptr) {
        add(terms.of_negative, part, count, plan, into.scale_negative);
      }
    });
  }
}

void values_float(const FrozenPlan& plan, float* into, RowRange rows) {
  value_rows(plan, into, rows);
}
void values_bfloat16(const FrozenPlan& plan, std::uint16_t* into, RowRange rows) {
  value_rows(plan, into, rows);
}
void sums_float(const FrozenPlan& plan, const float* grad, const FrozenSums& into, RowRange rows) {
  sum_rows(plan, grad, into, rows);
}
void sums_bfloat16(const FrozenPlan& plan, const std::uint16_t* grad, const FrozenSums& into, RowRange rows) {
  sum_rows(plan, grad, into, rows);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(values_float);
HWY_EXPORT(values_bfloat16);
HWY_EXPORT(sums_float);
HWY_EXPORT(sums_bfloat16);
}  // namespace

void frozen_values(const FrozenPlan& plan, float* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(values_float)(plan, into, rows);
}
void frozen_values(const FrozenPlan& plan, std::uint16_t* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(values_bfloat16)(plan, into, rows);
}

void frozen_sums(const FrozenPlan& plan, const float* grad_output, const FrozenSums& into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(sums_float)(plan, grad_output, into, rows);
}
void frozen_sums(const FrozenPlan& plan, const std::uint16_t* grad_output, const FrozenSums& into,
                 RowRange rows) {
  HWY_DYNAMIC_DISPATCH(sums_bfloat16)(plan, grad_output, into, rows);
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
