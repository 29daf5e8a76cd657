#include "quant/kernels/fake_quant.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/kernels/fake_quant.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "quant/kernels/fake_quant-inl.h"
#include "quant/kernels/fake_quant_math.h"

HWY_BEFORE_NAMESPACE();
namespace bitlaw::quant::HWY_NAMESPACE {

GroupConstants constants_of(const FakeQuantPlan& plan, std::int64_t row, std::int64_t group) {
  const std::int64_t index = plan.shared_scale ? 0 : row * plan.groups + group;
  const float zero_point = plan.zero_point != nullptr ? static_cast<float>(plan.zero_point[index]) : 0.0F;
  return {plan.scale[index], zero_point - plan.offset, plan.offset - zero_point, plan.q_min, plan.q_max};
}

template <class Out>
HWY_INLINE void forward_rows(const FakeQuantPlan& plan, const float* w, Out* into, RowRange rows) {
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    for (std::int64_t group = 0; group < plan.groups; ++group) {
      const std::int64_t first = row * plan.in_features + group * plan.group_width;
      quantise_group(constants_of(plan, row, group), w + first, into + first, plan.group_width);
    }
  }
}

void forward_float(const FakeQuantPlan& plan, const float* w, float* into, RowRange rows) {
  forward_rows(plan, w, into, rows);
}
void forward_bfloat16(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows) {
  forward_rows(plan, w, into, rows);
}

HWY_INLINE void codes_of_group(const GroupConstants& group, const float* w, std::uint8_t* into,
                               std::int64_t width) {
  const Floats d;
  const hn::RebindToSigned<Floats> words;
  const hn::Rebind<std::uint8_t, Floats> bytes;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VectorConstants constants = broadcast(group);
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const Vector code = hn::Sub(locate(load(w + i), constants).q, constants.q_min);
    hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(words, code)), bytes, into + i);
  }
  for (; i < width; ++i) {
    into[i] = static_cast<std::uint8_t>(static_cast<int>(quant::locate(w[i], group).q - group.q_min));
  }
}

void codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows) {
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    for (std::int64_t group = 0; group < plan.groups; ++group) {
      const std::int64_t first = row * plan.in_features + group * plan.group_width;
      codes_of_group(constants_of(plan, row, group), w + first, into + first, plan.group_width);
    }
  }
}

// Gradients of one group; the sum of d loss / d scale, in the order of add_pairwise.
template <class Gradient>
HWY_INLINE float backward_group(const GroupConstants& group, const float* w, const Gradient* grad_output,
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
  return add_pairwise(partial);
}

template <class Gradient>
HWY_INLINE void backward_rows(const FakeQuantPlan& plan, const FakeQuantGradients<Gradient>& gradients,
                              RowRange rows) {
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    for (std::int64_t group = 0; group < plan.groups; ++group) {
      const std::int64_t first = row * plan.in_features + group * plan.group_width;
      const float sum =
          backward_group(constants_of(plan, row, group), gradients.w + first, gradients.grad_output + first,
                         gradients.grad_w + first, plan.group_width);
      if (gradients.grad_scale != nullptr) {
        gradients.grad_scale[row * plan.groups + group] = sum;
      }
    }
  }
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
HWY_EXPORT(codes);
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_bfloat16);
}  // namespace

FakeQuantPlan fake_quant_plan(const QuantSpec& spec, std::int64_t in_features) {
  FakeQuantPlan plan;
  plan.in_features = in_features;
  plan.group_width = spec.group_width(in_features);
  plan.groups = spec.groups(in_features);
  plan.shared_scale = spec.fields().strategy == Strategy::tensor;
  plan.q_min = static_cast<float>(spec.q_min());
  plan.q_max = static_cast<float>(spec.q_max());
  plan.offset = static_cast<float>(spec.level_offset());
  return plan;
}

void fake_quantise(const FakeQuantPlan& plan, const float* w, float* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(forward_float)(plan, w, into, rows);
}
void fake_quantise(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(forward_bfloat16)(plan, w, into, rows);
}

void make_codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows) {
  HWY_DYNAMIC_DISPATCH(codes)(plan, w, into, rows);
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
