#include "quant/kernels/fake_quant.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/fake_quant.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <limits>

#include "quant/float_format.h"
#include "quant/kernels/fake_quant-inl.h"
#include "quant/kernels/fake_quant_math.h"
#include "quant/kernels/level_quant-inl.h"
#include "quant/kernels/plan_groups.h"
#include "quant/levels.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

// body(group, row, group of the row, first element) for every group of the rows; the type of `group` follows
// the numbers.
template <class Body>
HWY_INLINE void for_groups(const FakeQuantPlan& plan, RowRange rows, const Body& body) {
  const auto walk = [&](const auto& group_at) {
    for (std::int64_t row = rows.first; row < rows.last; ++row) {
      const std::int64_t scale_row = row / plan.rows_per_scale;
      for (std::int64_t group = 0; group < plan.groups; ++group) {
        body(group_at(scale_row * plan.groups + group), row * plan.groups + group,
             row * plan.in_features + group * plan.group_width);
      }
    }
  };
  if (plan.type == NumberType::floating) {
    walk([&](std::int64_t index) { return float_group(plan, index); });
  } else if (plan.type == NumberType::quantile) {
    walk([&](std::int64_t index) { return table_group(plan, index); });
  } else {
    walk([&](std::int64_t index) { return grid_group(plan, index); });
  }
}

template <class Out>
HWY_INLINE void forward_rows(const FakeQuantPlan& plan, const float* w, Out* into, RowRange rows) {
  for_groups(plan, rows, [&](const auto& group, std::int64_t /*index*/, std::int64_t first) {
    quantise_group(group, w + first, into + first, plan.group_width);
  });
}

void forward_float(const FakeQuantPlan& plan, const float* w, float* into, RowRange rows) {
  forward_rows(plan, w, into, rows);
}
void forward_bfloat16(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows) {
  forward_rows(plan, w, into, rows);
}

// Sums of d loss / d scale, in the order of add_pairwise.
struct ScaleSums {
  float all = 0.0F;       // of elements with the one scale, or the positive one
  float negative = 0.0F;  // of elements with a negative scale
};

// Gradients of one group.
template <class Gradient>
HWY_INLINE ScaleSums backward_group(const GroupConstants& group, const float* w, const Gradient* grad_output,
                                    float* grad_w, std::int64_t width) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VectorConstants constants = broadcast(group);
  const std::int64_t whole = width - width % kPartialSums;
  HWY_ALIGN float partial[kPartialSums];
  for (std::int64_t lane = 0; lane < kPartialSums; lane += lanes) {
    Vector sum = hn::Zero(d);
    for (std::int64_t i = lane; i < whole; i += kPartialSums) {
      const VectorPosition at = locate(load(w + i), constants);
      const Vector grad = load(grad_output + i);
      const auto inside = hn::Eq(at.q, at.rounded);
      store(hn::IfThenElseZero(inside, grad), grad_w + i);
      const Vector slope =
          hn::IfThenElse(inside, hn::Sub(at.rounded, at.exact), hn::Add(at.q, constants.unshift));
      sum = hn::Add(sum, hn::Mul(grad, slope));
    }
    hn::StoreU(sum, d, partial + lane);
  }
  for (std::int64_t i = whole; i < width; ++i) {
    const Position at = quant::locate(w[i], group);
    const float grad = to_float(grad_output[i]);
    grad_w[i] = is_inside(at) ? grad : 0.0F;
    partial[i % kPartialSums] += grad * scale_slope(at, group);
  }
  return {add_pairwise(partial), 0.0F};
}

template <class Group, class Gradient>
HWY_INLINE ScaleSums backward_group(const Group& group, const float* w, const Gradient* grad_output,
                                    float* grad_w, std::int64_t width) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto constants = broadcast(group);
  const std::int64_t whole = width - width % kPartialSums;
  const Mask two_sided =
      group.scales.two_sided ? hn::Eq(hn::Zero(d), hn::Zero(d)) : hn::Lt(hn::Zero(d), hn::Zero(d));
  HWY_ALIGN float partial[kPartialSums];
  HWY_ALIGN float partial_negative[kPartialSums];
  for (std::int64_t lane = 0; lane < kPartialSums; lane += lanes) {
    Vector sum = hn::Zero(d);
    Vector sum_negative = hn::Zero(d);
    for (std::int64_t i = lane; i < whole; i += kPartialSums) {
      const VectorLevelPosition at = locate(load(w + i), constants);
      const Vector grad = load(grad_output + i);
      store(hn::IfThenElseZero(at.inside, grad), grad_w + i);
      const Vector term = hn::Mul(grad, scale_slope(at));
      const Mask other = hn::And(at.negative, two_sided);
      sum = hn::Add(sum, hn::IfThenZeroElse(other, term));
      sum_negative = hn::Add(sum_negative, hn::IfThenElseZero(other, term));
    }
    hn::StoreU(sum, d, partial + lane);
    hn::StoreU(sum_negative, d, partial_negative + lane);
  }
  for (std::int64_t i = whole; i < width; ++i) {
    const LevelPosition at = quant::locate(w[i], group);
    const float grad = to_float(grad_output[i]);
    grad_w[i] = at.inside ? grad : 0.0F;
    const bool other = group.scales.two_sided && std::signbit(w[i]);
    float* const sums = other ? partial_negative : partial;
    sums[i % kPartialSums] += grad * quant::scale_slope(at);
  }
  return {add_pairwise(partial), add_pairwise(partial_negative)};
}

template <class Gradient>
HWY_INLINE void backward_rows(const FakeQuantPlan& plan, const FakeQuantGradients<Gradient>& gradients,
                              RowRange rows) {
  for_groups(plan, rows, [&](const auto& group, std::int64_t index, std::int64_t first) {
    const ScaleSums sums = backward_group(group, gradients.w + first, gradients.grad_output + first,
                                          gradients.grad_w + first, plan.group_width);
    if (gradients.grad_scale != nullptr) {
      gradients.grad_scale[index] = sums.all;
    }
    if (gradients.grad_scale_negative != nullptr) {
      gradients.grad_scale_negative[index] = sums.negative;
    }
  });
}

void backward_float(const FakeQuantPlan& plan, const FakeQuantGradients<float>& gradients, RowRange rows) {
  backward_rows(plan, gradients, rows);
}
void backward_bfloat16(const FakeQuantPlan& plan, const FakeQuantGradients<std::uint16_t>& gradients,
                       RowRange rows) {
  backward_rows(plan, gradients, rows);
}

}  // namespace bitlaw::quant::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitlaw::quant {

namespace {
HWY_EXPORT(forward_float);
HWY_EXPORT(forward_bfloat16);
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_bfloat16);

std::int64_t rows_per_scale(const QuantSpec& spec) {
  switch (spec.fields().strategy) {
    case Strategy::tensor:
      return std::numeric_limits<std::int64_t>::max();
    case Strategy::block:
      return spec.fields().block_structure[0];
    default:
      return 1;
  }
}
}  // namespace

FakeQuantPlan fake_quant_plan(const QuantSpec& spec, std::int64_t in_features) {
  FakeQuantPlan plan;
  plan.type = spec.fields().type;
  plan.in_features = in_features;
  plan.group_width = spec.group_width(in_features);
  plan.groups = spec.groups(in_features);
  plan.rows_per_scale = rows_per_scale(spec);
  plan.q_min = static_cast<float>(spec.q_min());
  plan.q_max = static_cast<float>(spec.q_max());
  plan.offset = static_cast<float>(spec.level_offset());
  plan.code_offset = static_cast<float>(1 << (spec.bits() - 1));
  if (plan.type == NumberType::floating) {
    plan.element = element_of(*spec.fields().format);
  }
  if (plan.type == NumberType::quantile) {
    plan.levels = quantile_levels(spec.bits()).data();
    plan.thresholds = quantile_thresholds(spec.bits()).data();
    plan.level_count = 1 << spec.bits();
  }
  return plan;
}

void fake_quantise(const FakeQuantPlan& plan, const float* w, float* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(forward_float)(plan, w, into, rows);
}
void fake_quantise(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(forward_bfloat16)(plan, w, into, rows);
}

void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<float>& gradients,
                         RowRange rows) {
  HWY_DYNAMIC_DISPATCH(backward_float)(plan, gradients, rows);
}
void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<std::uint16_t>& gradients,
                         RowRange rows) {
  HWY_DYNAMIC_DISPATCH(backward_bfloat16)(plan, gradients, rows);
}

}  // namespace bitlaw::quant
#endif  // HWY_ONCE
