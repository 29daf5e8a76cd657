// Dynamic fake quantisation of activations: each row, or each group of a row, by its own scale.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "quant/block_format.h"
#include "quant/fake_quant_function.h"
#include "quant/float_format.h"
#include "quant/kernels/token_quant.h"
#include "quant/row_tasks.h"

namespace bitlaw::quant {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [rows, elements that share a scale]
at::Tensor as_rows(const at::Tensor& x, const QuantSpec& spec) {
  const std::int64_t width = spec.group_width(x.size(-1));
  return x.contiguous().view({width == 0 ? 0 : x.numel() / width, width});
}

at::Tensor row_values(const at::Tensor& x, const QuantSpec& spec) {
  TORCH_CHECK(x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "activations must be float32 or bfloat16 on the CPU, not ", x.toString());
  const at::Tensor rows = as_rows(x, spec);
  const std::int64_t width = rows.size(1);
  at::Tensor out = at::empty_like(rows);
  for_rows(rows.size(0), rows.size(1), [&](RowRange range) {
    if (rows.scalar_type() == at::kBFloat16) {
      fake_quantise_tokens(spec, static_cast<const std::uint16_t*>(rows.const_data_ptr()), width,
                           static_cast<std::uint16_t*>(out.mutable_data_ptr()), range);
    } else {
      fake_quantise_tokens(spec, rows.const_data_ptr<float>(), width, out.mutable_data_ptr<float>(), range);
    }
  });
  return out.view(x.sizes());
}

// The largest |x| of an MX block that is a level at most, after rounding.
float end_of_block(const QuantSpec& spec, float amax) {
  const float scale = mx_scale(amax, spec);
  if (spec.fields().type == NumberType::floating) {
    return element_of(*spec.fields().format).largest * scale;
  }
  return std::nextafter(static_cast<float>(spec.q_max()) + 0.5F, 0.0F) * scale;
}

// The gradient of elements that do not saturate.
at::Tensor unsaturated(const at::Tensor& x, const at::Tensor& grad, const QuantSpec& spec) {
  const at::Tensor rows = as_rows(x, spec).to(at::kFloat);
  at::Tensor result = as_rows(grad, spec).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  const auto* from = rows.const_data_ptr<float>();
  auto* into = result.mutable_data_ptr<float>();
  const std::int64_t width = rows.size(1);
  for_rows(rows.size(0), rows.size(1), [&](RowRange range) {
    for (std::int64_t row = range.first; row < range.last; ++row) {
      const std::span<const float> block(from + row * width, static_cast<std::size_t>(width));
      float amax = 0.0F;
      for (const float value : block) {
        amax = std::max(amax, std::abs(value));
      }
      const float end = std::isinf(amax) ? amax : end_of_block(spec, amax);
      for (std::int64_t i = row * width; i < (row + 1) * width; ++i) {
        into[i] = std::abs(from[i]) > end ? 0.0F : into[i];
      }
    }
  });
  return result.view(x.sizes()).to(grad.scalar_type());
}

struct RowQuantFunction : torch::autograd::Function<RowQuantFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const QuantSpec& spec) {
    if (spec.fields().scale_dtype == ScaleType::e8m0) {
      context->save_for_backward({x});
      context->saved_data["spec"] = spec.to_string();
    }
    return row_values(x, spec);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    if (saved.empty()) {
      return {gradients[0], at::Tensor()};
    }
    const QuantSpec spec = QuantSpec::parse(context->saved_data["spec"].toStringRef());
    return {unsaturated(saved[0], gradients[0], spec), at::Tensor()};
  }
};

}  // namespace

at::Tensor fake_quantise_rows(const at::Tensor& x, const QuantSpec& spec) {
  return RowQuantFunction::apply(x, spec);
}

}  // namespace bitlaw::quant
