#include "quant/kernels/fake_quant.h"

#include <bit>

#include "quant/kernels/fake_quant_math.h"

namespace bitlaw::quant {

namespace {

GroupConstants constants_of(const FakeQuantPlan& plan, std::int64_t row, std::int64_t group) {
  const std::int64_t index = plan.shared_scale ? 0 : row * plan.groups + group;
  const float zero_point = plan.zero_point != nullptr ? static_cast<float>(plan.zero_point[index]) : 0.0F;
  return {plan.scale[index], zero_point - plan.offset, plan.offset - zero_point, plan.q_min, plan.q_max};
}

float to_float(float x) {
  return x;
}
float to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

void store(float x, float& into) {
  into = x;
}
void store(float x, std::uint16_t& into) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  into =
      x != x ? std::uint16_t{0x7FC0} : static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

template <class Body>
void for_each_group(const FakeQuantPlan& plan, RowRange rows, const Body& body) {
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    for (std::int64_t group = 0; group < plan.groups; ++group) {
      body(constants_of(plan, row, group), row * plan.in_features + group * plan.group_width,
           row * plan.groups + group);
    }
  }
}

template <class Value>
void forward(const FakeQuantPlan& plan, const float* w, Value* into, RowRange rows) {
  for_each_group(plan, rows, [&](const GroupConstants& group, std::int64_t first, std::int64_t /*index*/) {
    for (std::int64_t i = first; i < first + plan.group_width; ++i) {
      store(value_of(locate(w[i], group), group), into[i]);
    }
  });
}

template <class Gradient>
void backward(const FakeQuantPlan& plan, const FakeQuantGradients<Gradient>& gradients, RowRange rows) {
  for_each_group(plan, rows, [&](const GroupConstants& group, std::int64_t first, std::int64_t index) {
    float partial[kPartialSums] = {};
    for (std::int64_t i = 0; i < plan.group_width; ++i) {
      const Position at = locate(gradients.w[first + i], group);
      const float grad = to_float(gradients.grad_output[first + i]);
      gradients.grad_w[first + i] = is_inside(at) ? grad : 0.0F;
      partial[i % kPartialSums] += grad * scale_slope(at, group);
    }
    if (gradients.grad_scale != nullptr) {
      gradients.grad_scale[index] = add_pairwise(partial);
    }
  });
}

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
  forward(plan, w, into, rows);
}
void fake_quantise(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows) {
  forward(plan, w, into, rows);
}

void make_codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows) {
  for_each_group(plan, rows, [&](const GroupConstants& group, std::int64_t first, std::int64_t /*index*/) {
    for (std::int64_t i = first; i < first + plan.group_width; ++i) {
      into[i] = static_cast<std::uint8_t>(static_cast<int>(locate(w[i], group).q - group.q_min));
    }
  });
}

void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<float>& gradients,
                         RowRange rows) {
  backward(plan, gradients, rows);
}
void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<std::uint16_t>& gradients,
                         RowRange rows) {
  backward(plan, gradients, rows);
}

}  // namespace bitlaw::quant
