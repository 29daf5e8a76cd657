#include "quant/fake_quant_function.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <span>

#include "quant/block_format.h"
#include "quant/kernels/exponential.h"
#include "quant/kernels/fake_quant.h"
#include "quant/methods/method_plan.h"
#include "quant/pack.h"
#include "quant/row_tasks.h"
#include "quant/scale_search.h"

namespace bitlaw::quant {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

FakeQuantPlan plan_of(const QuantSpec& spec, const FakeQuantInputs& inputs) {
  FakeQuantPlan plan = fake_quant_plan(spec, inputs.weight.size(1));
  plan.scale = inputs.scale.const_data_ptr<float>();
  if (inputs.zero_point.defined() && inputs.zero_point.scalar_type() == at::kFloat) {
    plan.zero_point_real = inputs.zero_point.const_data_ptr<float>();
  } else if (inputs.zero_point.defined()) {
    plan.zero_point = inputs.zero_point.const_data_ptr<std::int8_t>();
  }
  if (inputs.scale_negative.defined()) {
    plan.scale_negative = inputs.scale_negative.const_data_ptr<float>();
  }
  return plan;
}

const std::uint16_t* bits_of(const at::Tensor& x) {
  return static_cast<const std::uint16_t*>(static_cast<const void*>(x.const_data_ptr<at::BFloat16>()));
}

at::Tensor values(const QuantSpec& spec, const FakeQuantInputs& inputs, at::ScalarType type) {
  const FakeQuantPlan plan = plan_of(spec, inputs);
  const auto* w = inputs.weight.const_data_ptr<float>();
  at::Tensor out = at::empty(inputs.weight.sizes(), inputs.weight.options().dtype(type));
  if (type == at::kBFloat16) {
    auto* into = static_cast<std::uint16_t*>(out.mutable_data_ptr());
    for_rows(out.size(0), out.size(1), [&](RowRange rows) { fake_quantise(plan, w, into, rows); });
  } else {
    auto* into = out.mutable_data_ptr<float>();
    for_rows(out.size(0), out.size(1), [&](RowRange rows) { fake_quantise(plan, w, into, rows); });
  }
  return out;
}

struct Gradients {
  at::Tensor weight;
  at::Tensor scale;           // [out, groups], not yet summed over rows that share a scale
  at::Tensor scale_negative;  // likewise
};

Gradients backward_values(const QuantSpec& spec, const FakeQuantInputs& inputs, const at::Tensor& grad,
                          bool scale_wanted) {
  const FakeQuantPlan plan = plan_of(spec, inputs);
  Gradients result{at::empty_like(inputs.weight), {}, {}};
  float* grad_scale = nullptr;
  float* grad_negative = nullptr;
  if (scale_wanted) {
    result.scale = at::empty({inputs.weight.size(0), plan.groups}, inputs.weight.options());
    grad_scale = result.scale.mutable_data_ptr<float>();
  }
  if (scale_wanted && inputs.scale_negative.defined()) {
    result.scale_negative = at::empty_like(result.scale);
    grad_negative = result.scale_negative.mutable_data_ptr<float>();
  }
  const auto* w = inputs.weight.const_data_ptr<float>();
  auto* grad_w = result.weight.mutable_data_ptr<float>();
  for_rows(inputs.weight.size(0), inputs.weight.size(1), [&](RowRange rows) {
    if (grad.scalar_type() == at::kBFloat16) {
      fake_quant_backward(
          plan, FakeQuantGradients<std::uint16_t>{w, bits_of(grad), grad_w, grad_scale, grad_negative}, rows);
    } else {
      fake_quant_backward(
          plan, FakeQuantGradients<float>{w, grad.const_data_ptr<float>(), grad_w, grad_scale, grad_negative},
          rows);
    }
  });
  return result;
}

// Sums over the rows that share a scale, one after the other, in double: the same order on any number of
// threads.
at::Tensor sum_shared_rows(const at::Tensor& row_sums, std::int64_t scale_rows) {
  if (scale_rows == row_sums.size(0)) {
    return row_sums;
  }
  const std::int64_t groups = row_sums.size(1);
  const std::int64_t height = row_sums.size(0) / scale_rows;
  at::Tensor sums = at::empty({scale_rows, groups}, row_sums.options());
  const auto* from = row_sums.const_data_ptr<float>();
  auto* into = sums.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < sums.numel(); ++i) {
    double sum = 0.0;
    for (std::int64_t row = 0; row < height; ++row) {
      sum += static_cast<double>(from[(i / groups * height + row) * groups + i % groups]);
    }
    into[i] = static_cast<float>(sum);
  }
  return sums;
}

// LSQ's g = 1 / sqrt(n q_max), n the weights that share one of `scales` scales.
double gradient_factor(const QuantSpec& spec, std::int64_t elements, std::int64_t scales) {
  return 1.0 / std::sqrt(static_cast<double>(elements / scales) * largest_level(spec));
}

// d w' / d z is -scale outside and 0 inside: outside is where the weight's gradient was cut off.
at::Tensor zero_point_gradient(const QuantSpec& spec, const FakeQuantInputs& inputs, const at::Tensor& grad,
                               const at::Tensor& grad_weight) {
  const std::int64_t groups = inputs.scale.size(1);
  const at::Tensor cut = (grad.to(at::kFloat) - grad_weight).view({grad.size(0), groups, -1});
  const at::Tensor sums =
      sum_shared_rows(cut.sum(2, false, at::kDouble).to(at::kFloat), inputs.scale.size(0));
  return sums * inputs.scale * -gradient_factor(spec, grad.numel(), inputs.scale.numel());
}

struct FakeQuantFunction : torch::autograd::Function<FakeQuantFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight,
                            const std::optional<at::Tensor>& log_scale,
                            const std::optional<at::Tensor>& log_scale_negative,
                            const std::optional<at::Tensor>& learned_zero_point,
                            const FakeQuantInputs& inputs, const QuantSpec& spec, at::ScalarType type) {
    context->save_for_backward({weight, log_scale.value_or(at::Tensor()), inputs.scale, inputs.zero_point,
                                log_scale_negative.value_or(at::Tensor()), inputs.scale_negative,
                                learned_zero_point.value_or(at::Tensor())});
    context->saved_data["spec"] = spec.to_string();
    return values(spec, inputs, type);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const FakeQuantInputs inputs{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]};
    const QuantSpec spec = QuantSpec::parse(context->saved_data["spec"].toStringRef());
    const at::Tensor grad = gradients[0].contiguous();
    const bool wanted = inputs.log_scale.defined() && context->needs_input_grad(1);
    const bool negative_wanted = inputs.log_scale_negative.defined() && context->needs_input_grad(2);
    // Inputs that are not there are not counted, and no spec has both zero points and negative scales.
    const bool zero_point_wanted = inputs.learned_zero_point.defined() && context->needs_input_grad(2);
    const Gradients result = backward_values(spec, inputs, grad, wanted || negative_wanted);
    const auto of_log = [&](bool needed, const at::Tensor& log_scale, const at::Tensor& sums) {
      return needed ? log_scale_gradient(spec, inputs.weight.numel(), log_scale, sums) : at::Tensor();
    };
    return {result.weight,
            of_log(wanted, inputs.log_scale, result.scale),
            of_log(negative_wanted, inputs.log_scale_negative, result.scale_negative),
            zero_point_wanted ? zero_point_gradient(spec, inputs, grad, result.weight) : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor log_scale_gradient(const QuantSpec& spec, std::int64_t elements, const at::Tensor& log_scale,
                              const at::Tensor& row_sums) {
  const double factor = gradient_factor(spec, elements, log_scale.numel());
  const at::Tensor sums = sum_shared_rows(row_sums, log_scale.size(0));
  at::Tensor result = at::empty_like(log_scale);
  auto* into = result.mutable_data_ptr<float>();
  unrounded_scales(log_scale.const_data_ptr<float>(), result.numel(), into);
  const auto* sum = sums.const_data_ptr<float>();
  for (std::int64_t i = 0; i < result.numel(); ++i) {
    into[i] *= sum[i] * static_cast<float>(factor);
  }
  return result;
}

at::Tensor fake_quantise(const QuantSpec& spec, Method method, const FakeQuantInputs& inputs,
                         at::ScalarType type) {
  if (is_post_training(method)) {
    const at::NoGradGuard no_grad;
    return values(spec, inputs, type);
  }
  const auto given = [](const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; };
  return FakeQuantFunction::apply(inputs.weight, given(inputs.log_scale), given(inputs.log_scale_negative),
                                  given(inputs.learned_zero_point), inputs, spec, type);
}

at::Tensor make_codes(const QuantSpec& spec, const FakeQuantInputs& inputs) {
  const FakeQuantPlan plan = plan_of(spec, inputs);
  at::Tensor out = at::empty(inputs.weight.sizes(), inputs.weight.options().dtype(at::kByte));
  const auto* w = inputs.weight.const_data_ptr<float>();
  auto* into = out.mutable_data_ptr<std::uint8_t>();
  std::atomic<bool> is_finite = true;
  for_rows(out.size(0), out.size(1), [&](RowRange rows) {
    if (!make_codes(plan, w, into + rows.first * out.size(1), rows)) {
      is_finite = false;
    }
  });
  if (!is_finite) {
    throw_not_finite();
  }
  return out;
}

std::vector<std::uint32_t> make_packed_codes(const QuantSpec& spec, const FakeQuantInputs& inputs) {
  const FakeQuantPlan plan = plan_of(spec, inputs);
  const std::int64_t out = inputs.weight.size(0);
  const auto in = static_cast<std::size_t>(inputs.weight.size(1));
  const auto* w = inputs.weight.const_data_ptr<float>();
  const auto words = static_cast<std::size_t>(packed_words(inputs.weight.size(1), spec.bits()));
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(out) * words);
  std::atomic<bool> is_finite = true;
  for_rows(out, inputs.weight.size(1), [&](RowRange rows) {
    std::vector<std::uint8_t> codes(in);  // of a row: stays in the cache
    for (std::int64_t row = rows.first; row < rows.last; ++row) {
      const auto at = static_cast<std::size_t>(row);
      if (!make_codes(plan, w, codes.data(), RowRange{row, row + 1})) {
        is_finite = false;
        return;
      }
      pack_row(codes, spec.bits(), std::span(packed).subspan(at * words, words));
    }
  });
  if (!is_finite) {
    throw_not_finite();
  }
  return packed;
}

}  // namespace bitlaw::quant
