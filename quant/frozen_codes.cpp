#include "quant/frozen_codes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>
#include <vector>

#include "quant/levels.h"

namespace bitlaw::quant {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kRowsPerTask = 8;

std::vector<std::int64_t> groups_of_inputs(const QuantSpec& spec, const FrozenCodes& frozen) {
  const std::int64_t in = frozen.codes.size(1);
  const std::int64_t width = spec.group_width(in);
  std::vector<std::int64_t> groups(static_cast<std::size_t>(in));
  for (std::int64_t i = 0; i < in; ++i) {
    groups[static_cast<std::size_t>(i)] =
        frozen.group_index.defined() ? frozen.group_index.const_data_ptr<std::int32_t>()[i] : i / width;
  }
  return groups;
}

// body(element, its level minus its zero point, whether it has the negative scale, its scale row x groups +
// group) for every element of rows [first, last).
template <class Body>
void for_elements(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs,
                  std::int64_t first, std::int64_t last, const Body& body) {
  const std::span<const float> levels = levels_of(spec);
  const std::vector<std::int64_t> groups = groups_of_inputs(spec, frozen);
  const std::int64_t in = frozen.codes.size(1);
  const std::int64_t height = spec.group_height(frozen.codes.size(0));
  const at::Tensor zero_points =
      inputs.zero_point.defined() ? inputs.zero_point.to(at::kFloat) : at::zeros_like(inputs.scale);
  const auto* zero_point = zero_points.const_data_ptr<float>();
  const auto* codes = frozen.codes.const_data_ptr<std::uint8_t>();
  const bool two_sided = inputs.scale_negative.defined();
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t scale_row = row / height * inputs.scale.size(1);
    for (std::int64_t i = 0; i < in; ++i) {
      const float level = levels[codes[row * in + i]];
      const std::int64_t shared = scale_row + groups[static_cast<std::size_t>(i)];
      body(row * in + i, level - zero_point[shared], two_sided && std::signbit(level), shared);
    }
  }
}

at::Tensor values(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs) {
  at::Tensor out = at::empty(frozen.codes.sizes(), inputs.scale.options());
  auto* into = out.mutable_data_ptr<float>();
  const auto* scale = inputs.scale.const_data_ptr<float>();
  const auto* negative =
      inputs.scale_negative.defined() ? inputs.scale_negative.const_data_ptr<float>() : scale;
  at::parallel_for(0, out.size(0), kRowsPerTask, [&](std::int64_t first, std::int64_t last) {
    for_elements(spec, frozen, inputs, first, last,
                 [&](std::int64_t element, float level, bool is_negative, std::int64_t shared) {
                   into[element] = level * (is_negative ? negative : scale)[shared];
                 });
  });
  return out;
}

// d loss / d scale of each row, [out, groups], summed in double in the order of the inputs.
struct RowSums {
  at::Tensor scale;
  at::Tensor negative;
};

RowSums row_sums(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs,
                 const at::Tensor& grad) {
  const std::int64_t groups = inputs.scale.size(1);
  const std::int64_t in = frozen.codes.size(1);
  const at::Tensor sums = at::zeros({2, grad.size(0), groups}, at::kDouble);
  auto* positive = sums.mutable_data_ptr<double>();
  auto* negative = positive + grad.size(0) * groups;
  const auto* g = grad.const_data_ptr<float>();
  at::parallel_for(0, grad.size(0), kRowsPerTask, [&](std::int64_t first, std::int64_t last) {
    for_elements(spec, frozen, inputs, first, last,
                 [&](std::int64_t element, float level, bool is_negative, std::int64_t shared) {
                   double* const into = is_negative ? negative : positive;
                   into[element / in * groups + shared % groups] +=
                       static_cast<double>(g[element]) * static_cast<double>(level);
                 });
  });
  return {sums[0].to(at::kFloat), sums[1].to(at::kFloat)};
}

struct FrozenCodesFunction : torch::autograd::Function<FrozenCodesFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& log_scale,
                            const std::optional<at::Tensor>& log_scale_negative,
                            const FakeQuantInputs& inputs, const QuantSpec& spec, const FrozenCodes& frozen) {
    context->save_for_backward({log_scale, log_scale_negative.value_or(at::Tensor()), inputs.scale,
                                inputs.zero_point, inputs.scale_negative, frozen.codes, frozen.group_index});
    context->saved_data["spec"] = spec.to_string();
    return values(spec, frozen, inputs);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    FakeQuantInputs inputs;
    inputs.scale = saved[2];
    inputs.zero_point = saved[3];
    inputs.scale_negative = saved[4];
    const FrozenCodes frozen{saved[5], saved[6]};
    const QuantSpec spec = QuantSpec::parse(context->saved_data["spec"].toStringRef());
    const RowSums sums = row_sums(spec, frozen, inputs, gradients[0].contiguous());
    const std::int64_t elements = frozen.codes.numel();
    return {log_scale_gradient(spec, elements, saved[0], sums.scale),
            saved[1].defined() ? log_scale_gradient(spec, elements, saved[1], sums.negative) : at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor dequantise_frozen(const QuantSpec& spec, const FrozenCodes& frozen, const FakeQuantInputs& inputs,
                             at::ScalarType type) {
  const auto negative =
      inputs.log_scale_negative.defined() ? std::optional(inputs.log_scale_negative) : std::nullopt;
  return FrozenCodesFunction::apply(inputs.log_scale, negative, inputs, spec, frozen).to(type);
}

}  // namespace bitlaw::quant
