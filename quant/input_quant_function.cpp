#include "quant/input_quant_function.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/kernels/fake_quant.h"
#include "quant/learned_scale.h"
#include "quant/row_tasks.h"

namespace bitlaw::quant {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A plan with the scale that it points to.
class Plan {
 public:
  Plan(const QuantSpec& spec, const InputGrid& grid, std::int64_t features)
      : grid_(grid),
        whole_zero_point_(static_cast<std::int8_t>(
            spec.fields().zero_point_dtype == ZeroPointType::int8 ? std::lrint(grid.zero_point) : 0)),
        plan_(fake_quant_plan(spec, features)) {
    plan_.scale = &grid_.scale;
    if (spec.has_zero_point() && spec.fields().zero_point_dtype == ZeroPointType::int8) {
      plan_.zero_point = &whole_zero_point_;
    } else if (spec.has_zero_point()) {
      plan_.zero_point_real = &grid_.zero_point;
    }
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  const FakeQuantPlan& get() const { return plan_; }

 private:
  InputGrid grid_;
  std::int8_t whole_zero_point_;
  FakeQuantPlan plan_;
};

// [rows, features], float32: what the kernels read.
at::Tensor as_matrix(const at::Tensor& x) {
  return x.reshape({-1, x.size(-1)}).to(at::kFloat).contiguous();
}

at::Tensor values(const at::Tensor& x, const QuantSpec& spec, const InputGrid& grid) {
  const at::Tensor matrix = as_matrix(x);
  const Plan plan(spec, grid, matrix.size(1));
  at::Tensor out = at::empty(matrix.sizes(), x.options());
  const auto* from = matrix.const_data_ptr<float>();
  if (x.scalar_type() == at::kBFloat16) {
    auto* into = static_cast<std::uint16_t*>(out.mutable_data_ptr());
    for_rows(matrix.size(0), matrix.size(1),
             [&](RowRange rows) { fake_quantise(plan.get(), from, into, rows); });
  } else {
    auto* into = out.mutable_data_ptr<float>();
    for_rows(matrix.size(0), matrix.size(1),
             [&](RowRange rows) { fake_quantise(plan.get(), from, into, rows); });
  }
  return out.view(x.sizes());
}

// One number for each row, added in order: the same on any number of threads.
class RowSums {
 public:
  explicit RowSums(std::int64_t rows) : sums_(static_cast<std::size_t>(rows)) {}
  double& operator[](std::int64_t row) { return sums_[static_cast<std::size_t>(row)]; }
  double total() const { return std::accumulate(sums_.begin(), sums_.end(), 0.0); }

 private:
  std::vector<double> sums_;
};

// Sums of d x' / d parameter over the whole input, times the gradient of x'.
struct InputGradients {
  at::Tensor x;        // float32 [rows, features]
  double scale = 0.0;  // with the zero point held
  double beta = 0.0;   // outside the range
  double alpha = 0.0;
};

InputGradients scale_gradients(const at::Tensor& x, const at::Tensor& grad, const Plan& plan) {
  InputGradients result;
  result.x = at::empty_like(x);
  at::Tensor of_rows = at::empty({x.size(0)}, at::kFloat);
  const auto* dy = grad.const_data_ptr<float>();
  auto* dx = result.x.mutable_data_ptr<float>();
  auto* of_scale = of_rows.mutable_data_ptr<float>();
  RowSums outside(x.size(0));
  for_rows(x.size(0), x.size(1), [&](RowRange rows) {
    fake_quant_backward(
        plan.get(), FakeQuantGradients<float>{x.const_data_ptr<float>(), dy, dx, of_scale, nullptr}, rows);
    for (std::int64_t row = rows.first; row < rows.last; ++row) {
      double sum = 0.0;
      for (std::int64_t i = row * x.size(1); i < (row + 1) * x.size(1); ++i) {
        sum += static_cast<double>(dy[i] - dx[i]);  // dx is dy inside and 0 outside
      }
      outside[row] = sum;
    }
  });
  result.scale = std::accumulate(of_scale, of_scale + x.size(0), 0.0);
  result.beta = outside.total();
  return result;
}

// Where PACT clips: both ends are levels.
struct ClipEnds {
  float lowest = 0.0F;
  float highest = 0.0F;
  float lower_slope = 0.0F;  // d lowest / d alpha
};

ClipEnds ends_of(const QuantSpec& spec, const InputGrid& grid) {
  const float below = static_cast<float>(spec.q_min()) - grid.zero_point;
  const float above = static_cast<float>(spec.q_max()) - grid.zero_point;
  return {below * grid.scale, above * grid.scale, below / above};
}

InputGradients clip_gradients(const at::Tensor& x, const at::Tensor& grad, const ClipEnds& ends) {
  InputGradients result;
  result.x = at::empty_like(x);
  const auto* from = x.const_data_ptr<float>();
  const auto* dy = grad.const_data_ptr<float>();
  auto* dx = result.x.mutable_data_ptr<float>();
  const bool lower_end_moves = ends.lower_slope != 0.0F;
  RowSums sums(x.size(0));
  for_rows(x.size(0), x.size(1), [&](RowRange rows) {
    for (std::int64_t row = rows.first; row < rows.last; ++row) {
      double sum = 0.0;
      for (std::int64_t i = row * x.size(1); i < (row + 1) * x.size(1); ++i) {
        const bool above = from[i] >= ends.highest;
        const bool below = lower_end_moves ? from[i] <= ends.lowest : from[i] < ends.lowest;
        dx[i] = above || below ? 0.0F : dy[i];
        sum += static_cast<double>(above ? dy[i] : (below ? dy[i] * ends.lower_slope : 0.0F));
      }
      sums[row] = sum;
    }
  });
  result.alpha = sums.total();
  return result;
}

// What a zero point may be.
struct ZeroPointRange {
  float lowest = 0.0F;
  float highest = 0.0F;
};

ZeroPointRange zero_point_range(const QuantSpec& spec) {
  if (spec.has_real_zero_point()) {
    const float largest = limits_of(ScaleType::float16).largest;
    return {-largest, largest};
  }
  return {static_cast<float>(spec.q_min()), static_cast<float>(spec.q_max())};
}

float rounded_zero_point(float exact, const QuantSpec& spec) {
  return spec.has_real_zero_point() ? round_to(exact, ScaleType::float16) : std::nearbyint(exact);
}

// How far the zero point would lie above (below: negative) what is stored; 0 where it is stored as it is.
float beyond_codes(float exact, const QuantSpec& spec) {
  const ZeroPointRange range = zero_point_range(spec);
  const float rounded = rounded_zero_point(exact, spec);
  return rounded - std::clamp(rounded, range.lowest, range.highest);
}

// LSQ+: scale and beta take the zero point with them, but where it stays at an end of the codes. There
// descent, which moves beta along -gradient and so the zero point along +gradient, may only bring it back.
void move_zero_point(float offset, const InputGrid& grid, const QuantSpec& spec, InputGradients& found) {
  const auto beyond = static_cast<double>(beyond_codes(-offset / grid.scale, spec));
  if (beyond == 0.0) {
    found.scale += static_cast<double>(grid.zero_point) * found.beta;
  } else if (found.beta * beyond > 0.0) {
    found.beta = 0.0;
  }
}

at::Tensor scalar(double value) {
  return at::full({1}, static_cast<float>(value));
}

struct InputQuantFunction : torch::autograd::Function<InputQuantFunction> {
  using Optional = std::optional<at::Tensor>;

  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Optional& step,
                            const Optional& offset, const QuantSpec& spec, const InputGrid& grid,
                            InputMethod method) {
    context->save_for_backward({x, step.value_or(at::Tensor()), offset.value_or(at::Tensor())});
    context->saved_data["spec"] = spec.to_string();
    context->saved_data["scale"] = static_cast<double>(grid.scale);
    context->saved_data["zero_point"] = static_cast<double>(grid.zero_point);
    context->saved_data["method"] = static_cast<std::int64_t>(method);
    return values(x, spec, grid);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const QuantSpec spec = QuantSpec::parse(context->saved_data["spec"].toStringRef());
    const InputGrid grid{static_cast<float>(context->saved_data["scale"].toDouble()),
                         static_cast<float>(context->saved_data["zero_point"].toDouble())};
    const auto method = static_cast<InputMethod>(context->saved_data["method"].toInt());
    const at::Tensor &x = saved[0], &step = saved[1], &offset = saved[2];
    const at::Tensor matrix = as_matrix(x);
    const at::Tensor grad = as_matrix(gradients[0]);
    InputGradients found = method == InputMethod::pact
                               ? clip_gradients(matrix, grad, ends_of(spec, grid))
                               : scale_gradients(matrix, grad, Plan(spec, grid, matrix.size(1)));
    variable_list result(6);
    result[0] = found.x.view(x.sizes()).to(x.scalar_type());
    const double factor = 1.0 / std::sqrt(static_cast<double>(matrix.size(1)) * largest_level(spec));
    if (method == InputMethod::pact) {
      result[1] = scalar(found.alpha);
    } else if (step.defined()) {
      if (method == InputMethod::lsq_plus) {
        move_zero_point(offset.item<float>(), grid, spec, found);
        result[2] = scalar(found.beta * factor);
      }
      const auto exponential = static_cast<double>(unrounded_scale(step.item<float>()));
      result[1] = scalar(found.scale * factor * exponential);
    }
    return result;
  }
};

}  // namespace

float zero_point_of(float offset, float scale, const QuantSpec& spec) {
  const ZeroPointRange range = zero_point_range(spec);
  return std::clamp(rounded_zero_point(-offset / scale, spec), range.lowest, range.highest) + 0.0F;  // no -0
}

at::Tensor fake_quantise_input(const at::Tensor& x, const QuantSpec& spec, const InputGrid& grid,
                               InputMethod method, const InputParameters& parameters) {
  TORCH_CHECK(x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "activations must be float32 or bfloat16 on the CPU, not ", x.toString());
  const auto given = [](const at::Tensor& tensor) {
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
  };
  const at::Tensor& step = method == InputMethod::pact ? parameters.alpha : parameters.log_scale;
  return InputQuantFunction::apply(x, given(step), given(parameters.offset), spec, grid, method);
}

}  // namespace bitlaw::quant
