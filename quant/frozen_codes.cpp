#include "quant/frozen_codes.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "quant/kernels/frozen_codes.h"
#include "quant/levels.h"
#include "quant/row_tasks.h"

namespace bitlaw::quant {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Whether each input is of the group where it lies.
bool are_neighbours(const at::Tensor& group_index, std::int64_t width) {
  const auto* index = group_index.const_data_ptr<std::int32_t>();
  for (std::int64_t i = 0; i < group_index.numel(); ++i) {
    if (index[i] != i / width) {
      return false;
    }
  }
  return true;
}

// A plan, and what it points to that nobody else holds.
struct HeldPlan {
  FrozenPlan plan;
  at::Tensor zero_points;
};

HeldPlan plan_of(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs) {
  HeldPlan held;
  FrozenPlan& plan = held.plan;
  plan.codes = frozen.codes.const_data_ptr<std::uint8_t>();
  plan.in_features = frozen.codes.size(1);
  plan.group_width = spec.group_width(plan.in_features);
  plan.groups = inputs.scale.size(1);
  plan.rows_per_scale = spec.group_height(frozen.codes.size(0));
  if (frozen.group_index.defined() && !are_neighbours(frozen.group_index, plan.group_width)) {
    plan.group_index = frozen.group_index.const_data_ptr<std::int32_t>();
  }
  plan.levels = levels_of(spec);
  const NumberType type = spec.fields().type;
  if (type == NumberType::integer || type == NumberType::ternary) {
    plan.first_level = plan.levels.back() - static_cast<float>(plan.levels.size() - 1);
  }
  plan.scale = inputs.scale.const_data_ptr<float>();
  if (inputs.scale_negative.defined()) {
    plan.scale_negative = inputs.scale_negative.const_data_ptr<float>();
  }
  if (inputs.zero_point.defined()) {
    held.zero_points = inputs.zero_point.to(at::kFloat);
    plan.zero_point = held.zero_points.const_data_ptr<float>();
  }
  return held;
}

at::Tensor values(const FrozenPlan& plan, const at::Tensor& codes, at::ScalarType type) {
  at::Tensor out = at::empty(codes.sizes(), codes.options().dtype(type));
  if (type == at::kBFloat16) {
    auto* into = static_cast<std::uint16_t*>(out.mutable_data_ptr());
    for_rows(out.size(0), out.size(1), [&](RowRange rows) { frozen_values(plan, into, rows); });
  } else {
    auto* into = out.mutable_data_ptr<float>();
    for_rows(out.size(0), out.size(1), [&](RowRange rows) { frozen_values(plan, into, rows); });
  }
  return out;
}

// d loss / d scale of each row, [out, groups].
struct RowSums {
  at::Tensor scale;
  at::Tensor negative;
};

RowSums row_sums(const FrozenPlan& plan, const at::Tensor& grad) {
  const at::Tensor sums = at::zeros({2, grad.size(0), plan.groups}, at::kDouble);
  auto* positive = sums.mutable_data_ptr<double>();
  auto* negative = plan.scale_negative == nullptr ? nullptr : positive + grad.size(0) * plan.groups;
  for_rows(grad.size(0), grad.size(1), [&](RowRange rows) {
    if (grad.scalar_type() == at::kBFloat16) {
      frozen_sums(plan, static_cast<const std::uint16_t*>(grad.const_data_ptr()), {positive, negative}, rows);
    } else {
      frozen_sums(plan, grad.const_data_ptr<float>(), {positive, negative}, rows);
    }
  });
  return {sums[0].to(at::kFloat), sums[1].to(at::kFloat)};
}

struct FrozenCodesFunction : torch::autograd::Function<FrozenCodesFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& log_scale,
                            const std::optional<at::Tensor>& log_scale_negative,
                            const FakeQuantInputs& inputs, const QuantSpec& spec, const FrozenCodes& frozen,
                            at::ScalarType type) {
    context->save_for_backward({log_scale, log_scale_negative.value_or(at::Tensor()), inputs.scale,
                                inputs.zero_point, inputs.scale_negative, frozen.codes, frozen.group_index});
    context->saved_data["spec"] = spec.to_string();
    const HeldPlan held = plan_of(spec, frozen, inputs);
    return values(held.plan, frozen.codes, type);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    FakeQuantInputs inputs;
    inputs.scale = saved[2];
    inputs.zero_point = saved[3];
    inputs.scale_negative = saved[4];
    const FrozenCodes frozen{saved[5], saved[6]};
    const QuantSpec spec = QuantSpec::parse(context->saved_data["spec"].toStringRef());
    const HeldPlan held = plan_of(spec, frozen, inputs);
    const RowSums sums = row_sums(held.plan, gradients[0].contiguous());
    const std::int64_t elements = frozen.codes.numel();
    return {log_scale_gradient(spec, elements, saved[0], sums.scale),
            saved[1].defined() ? log_scale_gradient(spec, elements, saved[1], sums.negative) : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor dequantise_frozen(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs,
                             at::ScalarType type) {
  const auto negative =
      inputs.log_scale_negative.defined() ? std::optional(inputs.log_scale_negative) : std::nullopt;
  const at::ScalarType kernel_type = type == at::kBFloat16 ? type : at::kFloat;
  return FrozenCodesFunction::apply(inputs.log_scale, negative, inputs, spec, frozen, kernel_type).to(type);
}

}  // namespace bitlaw::quant
