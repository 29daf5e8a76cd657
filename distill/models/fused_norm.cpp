// Gated residual, modulated LayerNorm and GELU as autograd functions over the kernels.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "distill/kernels/elementwise.h"
#include "distill/models/tensor_bits.h"
#include "distill/models/transformer_ops.h"

namespace bitlaw::distill {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kLanesOfRow = 16;
constexpr std::int64_t kElementsPerTask = 1 << 15;

bool kernel_applies(const Tensor& x, at::ScalarType type) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.size(-1) % kLanesOfRow == 0 &&
         (type == at::kFloat || type == at::kBFloat16);
}

// What one forward or backward works on. branch and gate may be undefined, scale and shift likewise.
struct NormTensors {
  Tensor x, branch, gate, scale, shift;
  Tensor sum, normed, mean, inverse;
};

// [B, C] with contiguous rows, which may be far apart (slices of all AdaLN vectors).
Tensor with_dense_rows(const Tensor& vectors_BC) {
  return !vectors_BC.defined() || vectors_BC.stride(1) == 1 ? vectors_BC : vectors_BC.contiguous();
}

const float* row_of(const Tensor& vectors_BC, std::int64_t sample) {
  return vectors_BC.defined() ? vectors_BC.const_data_ptr<float>() + sample * vectors_BC.stride(0) : nullptr;
}
float* mutable_row_of(const Tensor& vectors_BC, std::int64_t sample) {
  return vectors_BC.defined() ? vectors_BC.mutable_data_ptr<float>() + sample * vectors_BC.stride(0)
                              : nullptr;
}

template <class T>
kernels::NormForward<T> forward_of(const NormTensors& t, std::int64_t sample) {
  const std::int64_t rows = t.x.size(1), width = t.x.size(2), at = sample * rows * width;
  kernels::NormForward<T> task;
  task.rows = rows;
  task.width = width;
  task.epsilon = static_cast<float>(kLayerNormEpsilon);
  task.residual = t.x.const_data_ptr<float>() + at;
  if (t.branch.defined()) {
    task.branch = values_of<T>(t.branch) + at;
    task.gate = row_of(t.gate, sample);
    task.new_residual = t.sum.mutable_data_ptr<float>() + at;
  }
  if (t.scale.defined()) {
    task.scale = row_of(t.scale, sample);
    task.shift = row_of(t.shift, sample);
    task.mean = t.mean.mutable_data_ptr<float>() + sample * rows;
    task.inverse = t.inverse.mutable_data_ptr<float>() + sample * rows;
    task.out = t.normed.defined() ? mutable_values_of<T>(t.normed) + at : nullptr;
  }
  return task;
}

template <class Body>
void for_samples(const Tensor& x_BLC, const Body& body) {
  at::parallel_for(0, x_BLC.size(0), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t sample = first; sample < last; ++sample) body(sample);
  });
}

void run_forward(const NormTensors& t, at::ScalarType type) {
  for_samples(t.x, [&](std::int64_t sample) {
    if (type == at::kBFloat16)
      kernels::norm_forward(forward_of<std::uint16_t>(t, sample));
    else
      kernels::norm_forward(forward_of<float>(t, sample));
  });
}

struct NormGradients {
  Tensor sum, normed;                    // incoming; each may be undefined
  Tensor x, branch, gate, scale, shift;  // outgoing
};

template <class T>
void run_backward_sample(const NormTensors& t, const NormGradients& g, std::int64_t sample) {
  const std::int64_t at = sample * t.x.size(1) * t.x.size(2);
  kernels::NormBackward<T> task;
  task.forward = forward_of<T>(t, sample);
  if (g.normed.defined()) task.grad_out = values_of<T>(g.normed) + at;
  if (g.sum.defined()) task.grad_new_residual = g.sum.const_data_ptr<float>() + at;
  task.grad_residual = g.x.mutable_data_ptr<float>() + at;
  if (g.branch.defined()) task.grad_branch = mutable_values_of<T>(g.branch) + at;
  task.grad_gate = mutable_row_of(g.gate, sample);
  task.grad_scale = mutable_row_of(g.scale, sample);
  task.grad_shift = mutable_row_of(g.shift, sample);
  kernels::norm_backward(task);
}

NormGradients run_backward(const NormTensors& t, const Tensor& grad_sum, const Tensor& grad_normed,
                           at::ScalarType type) {
  NormGradients g{grad_sum, grad_normed, {}, {}, {}, {}, {}};
  g.x = grad_normed.defined() ? at::empty_like(t.x) : grad_sum;
  if (t.branch.defined()) {
    g.branch = at::empty_like(t.branch);
    g.gate = at::zeros({t.x.size(0), t.x.size(2)}, t.x.options());
  }
  if (grad_normed.defined()) {
    g.scale = at::zeros({t.x.size(0), t.x.size(2)}, t.x.options());
    g.shift = at::zeros_like(g.scale);
  }
  for_samples(t.x, [&](std::int64_t sample) {
    if (type == at::kBFloat16)
      run_backward_sample<std::uint16_t>(t, g, sample);
    else
      run_backward_sample<float>(t, g, sample);
  });
  return g;
}

// Outputs: sum (with a branch), normed (with scale and shift).
class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& branch,
                               const std::optional<Tensor>& gate, const std::optional<Tensor>& scale,
                               const std::optional<Tensor>& shift, at::ScalarType type) {
    NormTensors t{x.contiguous(), {}, {}, {}, {}, {}, {}, {}, {}};
    variable_list outputs;
    if (branch) {
      t.branch = branch->contiguous();
      t.gate = with_dense_rows(*gate);
      outputs.push_back(t.sum = at::empty_like(t.x));
    }
    if (scale) {
      t.scale = with_dense_rows(*scale);
      t.shift = with_dense_rows(*shift);
      t.mean = at::empty({x.size(0), x.size(1)}, x.options());
      t.inverse = at::empty_like(t.mean);
      outputs.push_back(t.normed = at::empty(x.sizes(), x.options().dtype(type)));
    }
    run_forward(t, type);
    const bool x_is_kept = scale && !branch;
    context->save_for_backward(
        {x_is_kept ? t.x : Tensor(), t.branch, t.gate, t.scale, scale ? t.sum : Tensor(), t.mean, t.inverse});
    context->saved_data["type"] = static_cast<std::int64_t>(type);
    context->set_materialize_grads(false);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const variable_list saved = context->get_saved_variables();
    NormTensors t{saved[0], saved[1], saved[2], saved[3], saved[3], saved[4], {}, saved[5], saved[6]};
    const bool has_branch = t.branch.defined(), has_norm = t.scale.defined();
    Tensor grad_sum = has_branch ? incoming[0] : Tensor();
    Tensor grad_normed = has_norm ? incoming.back() : Tensor();
    if (!grad_sum.defined() && !grad_normed.defined()) return variable_list(6);
    if (grad_sum.defined()) grad_sum = grad_sum.contiguous();
    if (grad_normed.defined()) grad_normed = grad_normed.contiguous();
    if (!t.x.defined()) t.x = t.sum.defined() ? t.sum : grad_sum;  // of its shape; its values are not read
    if (has_branch && !t.sum.defined()) t.sum = t.x;
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const NormGradients g = run_backward(t, grad_sum, grad_normed, type);
    return {g.x, g.branch, g.gate, g.scale, g.shift, Tensor()};
  }
};

class GeluFunction : public torch::autograd::Function<GeluFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x) {
    const Tensor input = x.contiguous();
    context->save_for_backward({input});
    Tensor out = at::empty_like(input);
    at::parallel_for(0, input.numel(), kElementsPerTask, [&](std::int64_t first, std::int64_t last) {
      if (input.scalar_type() == at::kBFloat16)
        kernels::gelu_forward(values_of<std::uint16_t>(input) + first,
                              mutable_values_of<std::uint16_t>(out) + first, last - first);
      else
        kernels::gelu_forward(values_of<float>(input) + first, mutable_values_of<float>(out) + first,
                              last - first);
    });
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const Tensor input = context->get_saved_variables()[0], grad = incoming[0].contiguous();
    Tensor result = at::empty_like(input);
    at::parallel_for(0, input.numel(), kElementsPerTask, [&](std::int64_t first, std::int64_t last) {
      if (input.scalar_type() == at::kBFloat16)
        kernels::gelu_backward(values_of<std::uint16_t>(input) + first,
                               values_of<std::uint16_t>(grad) + first,
                               mutable_values_of<std::uint16_t>(result) + first, last - first);
      else
        kernels::gelu_backward(values_of<float>(input) + first, values_of<float>(grad) + first,
                               mutable_values_of<float>(result) + first, last - first);
    });
    return {result};
  }
};

}  // namespace

Tensor gated_add(const Tensor& x_BLC, const Tensor& branch_BLC, const Tensor& gate_BC) {
  const at::ScalarType type = branch_BLC.scalar_type();
  if (!kernel_applies(x_BLC, type)) return reference::gated_add(x_BLC, branch_BLC, gate_BC);
  return NormFunction::apply(x_BLC, branch_BLC, gate_BC, std::nullopt, std::nullopt, type)[0];
}

Tensor modulated_norm(const Tensor& x_BLC, const Tensor& scale_BC, const Tensor& shift_BC,
                      at::ScalarType type) {
  if (!kernel_applies(x_BLC, type)) return reference::modulated_norm(x_BLC, scale_BC, shift_BC, type);
  return NormFunction::apply(x_BLC, std::nullopt, std::nullopt, scale_BC, shift_BC, type)[0];
}

Residual gated_add_norm(const Tensor& x_BLC, const Tensor& branch_BLC, const Tensor& gate_BC,
                        const Tensor& scale_BC, const Tensor& shift_BC) {
  const at::ScalarType type = branch_BLC.scalar_type();
  if (!kernel_applies(x_BLC, type)) {
    const Tensor sum_BLC = reference::gated_add(x_BLC, branch_BLC, gate_BC);
    return {sum_BLC, reference::modulated_norm(sum_BLC, scale_BC, shift_BC, type)};
  }
  const variable_list both = NormFunction::apply(x_BLC, branch_BLC, gate_BC, scale_BC, shift_BC, type);
  return {both[0], both[1]};
}

Tensor gelu_tanh(const Tensor& x) {
  const bool applies = x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
  return applies ? GeluFunction::apply(x) : at::gelu(x, "tanh");
}

}  // namespace bitlaw::distill
