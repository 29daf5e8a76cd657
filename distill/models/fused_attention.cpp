// Attention and the logits' product as autograd functions over the bfloat16 kernels.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>

#include "distill/kernels/attention_bf16.h"
#include "distill/kernels/product_bf16.h"
#include "distill/models/tensor_bits.h"
#include "distill/models/transformer_ops.h"

namespace bitlaw::distill {

namespace {

using at::Tensor;
using kernels::AttentionSpace;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Bits = std::uint16_t;

// Where the parts of sample b and head h lie.
struct AttentionLayout {
  std::int64_t batch, tokens, width, heads;
  const std::vector<std::int64_t>* scale_ends;

  std::int64_t head_dim() const { return width / heads; }
  std::int64_t qkv_at(std::int64_t sample, std::int64_t head) const {
    return sample * tokens * 3 * width + head * head_dim();
  }
  std::int64_t out_at(std::int64_t sample, std::int64_t head) const {
    return sample * tokens * width + head * head_dim();
  }
  kernels::HeadShape shape(const Tensor& head_scale_H, std::int64_t head) const {
    kernels::HeadShape shape{tokens, head_dim(), *scale_ends, 3 * width, width, head_scale_H.defined(), 0};
    shape.query_factor = head_scale_H.defined()
                             ? head_scale_H.const_data_ptr<float>()[head]
                             : static_cast<float>(0.25 / std::sqrt(static_cast<double>(head_dim())));
    return shape;
  }
};

AttentionLayout layout_of(const Tensor& qkv_BL3C, std::int64_t heads, const std::vector<std::int64_t>& ends) {
  return {qkv_BL3C.size(0), qkv_BL3C.size(1), qkv_BL3C.size(2) / 3, heads, &ends};
}

kernels::HeadForward head_of(const AttentionLayout& layout, const Tensor& qkv, const Tensor& out,
                             const Tensor& log_sum_BHL, std::int64_t task) {
  const std::int64_t sample = task / layout.heads, head = task % layout.heads;
  const Bits* q = values_of<Bits>(qkv) + layout.qkv_at(sample, head);
  return {q, q + layout.width, q + 2 * layout.width,
          mutable_values_of<Bits>(out) + layout.out_at(sample, head),
          log_sum_BHL.mutable_data_ptr<float>() + task * layout.tokens};
}

template <class Body>
void for_heads(const AttentionLayout& layout, AttentionSpace::Use use, const Tensor& head_scale_H,
               const Body& body) {
  at::parallel_for(0, layout.batch * layout.heads, 1, [&](std::int64_t first, std::int64_t last) {
    AttentionSpace space(layout.shape(head_scale_H, 0), use);
    for (std::int64_t task = first; task < last; ++task)
      body(task, layout.shape(head_scale_H, task % layout.heads), space);
  });
}

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& qkv, const std::optional<Tensor>& head_scale,
                        std::int64_t heads, const std::vector<std::int64_t>& scale_ends) {
    const Tensor input = qkv.contiguous();
    const AttentionLayout layout = layout_of(input, heads, scale_ends);
    const Tensor scale_H = head_scale ? head_scale->contiguous() : Tensor();
    const Tensor out = at::empty({layout.batch, layout.tokens, layout.width}, input.options());
    const Tensor log_sum = at::empty({layout.batch, heads, layout.tokens}, input.options().dtype(at::kFloat));
    for_heads(layout, AttentionSpace::Use::forward, scale_H,
              [&](std::int64_t task, const kernels::HeadShape& shape, AttentionSpace& space) {
                kernels::attend(shape, head_of(layout, input, out, log_sum, task), space);
              });
    context->save_for_backward({input, scale_H, out, log_sum});
    context->saved_data["heads"] = heads;
    context->saved_data["scale_ends"] = scale_ends;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &qkv = saved[0], &scale_H = saved[1], &out = saved[2], &log_sum = saved[3];
    const std::vector<std::int64_t> ends = context->saved_data["scale_ends"].toIntVector();
    const AttentionLayout layout = layout_of(qkv, context->saved_data["heads"].toInt(), ends);
    const Tensor grad_out = incoming[0].contiguous(), grad_qkv = at::empty_like(qkv);
    const Tensor grad_scale_BH = at::empty({layout.batch, layout.heads}, log_sum.options());
    for_heads(layout, AttentionSpace::Use::backward, scale_H,
              [&](std::int64_t task, const kernels::HeadShape& shape, AttentionSpace& space) {
                const std::int64_t sample = task / layout.heads, head = task % layout.heads;
                Bits* grad_q = mutable_values_of<Bits>(grad_qkv) + layout.qkv_at(sample, head);
                const kernels::HeadBackward task_of{head_of(layout, qkv, out, log_sum, task),
                                                    values_of<Bits>(grad_out) + layout.out_at(sample, head),
                                                    grad_q, grad_q + layout.width, grad_q + 2 * layout.width};
                grad_scale_BH.mutable_data_ptr<float>()[task] =
                    kernels::attend_backward(shape, task_of, space);
              });
    return {grad_qkv, scale_H.defined() ? grad_scale_BH.sum(0) : Tensor(), Tensor(), Tensor()};
  }
};

class FloatProductFunction : public torch::autograd::Function<FloatProductFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias) {
    const Tensor input = x.contiguous(), weights = weight.contiguous(), biases = bias.contiguous();
    context->save_for_backward({input, weights});
    std::vector<std::int64_t> sizes = input.sizes().vec();
    sizes.back() = weights.size(0);
    const Tensor result = at::empty(sizes, input.options().dtype(at::kFloat));
    const kernels::HeadProduct product{values_of<Bits>(input),   values_of<Bits>(weights),
                                       values_of<float>(biases), mutable_values_of<float>(result),
                                       input.size(-1),           weights.size(0)};
    at::parallel_for(0, input.numel() / input.size(-1), 256, [&](std::int64_t first, std::int64_t last) {
      kernels::head_product(product, first, last);
    });
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const std::int64_t width = x.size(-1), vocab = weight.size(0), rows = x.numel() / width;
    const Tensor grad = incoming[0].contiguous();
    const Tensor rounded = at::empty({rows, vocab}, x.options());
    const Tensor grad_bias = at::zeros({vocab}, grad.options());
    kernels::round_and_sum_columns(values_of<float>(grad), rows, vocab, mutable_values_of<Bits>(rounded),
                                   mutable_values_of<float>(grad_bias));
    return {at::mm(rounded, weight).view(x.sizes()), at::mm(rounded.t(), x.view({rows, width})), grad_bias};
  }
};

bool kernel_applies(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && kernels::bf16_products_supported();
}

}  // namespace

Tensor block_causal_attention(const Tensor& qkv_BL3C, std::int64_t heads, const Tensor& head_scale_H,
                              const std::vector<std::int64_t>& scale_ends) {
  if (!kernel_applies(qkv_BL3C) || qkv_BL3C.size(2) / (3 * heads) % 16 != 0)
    return reference::block_causal_attention(qkv_BL3C, heads, head_scale_H, scale_ends);
  const auto head_scale = head_scale_H.defined() ? std::optional(head_scale_H) : std::nullopt;
  return AttentionFunction::apply(qkv_BL3C, head_scale, heads, scale_ends);
}

Tensor float_product(const Tensor& x_BLC, const Tensor& weight_VC, const Tensor& bias_V) {
  const bool fits = weight_VC.size(0) % 16 == 0 && weight_VC.size(1) % 2 == 0;
  if (!kernel_applies(x_BLC) || weight_VC.scalar_type() != at::kBFloat16 || !fits)
    return reference::float_product(x_BLC, weight_VC, bias_V);
  const Tensor bias = bias_V.defined() ? bias_V : at::zeros({weight_VC.size(0)}, at::kFloat);
  return FloatProductFunction::apply(x_BLC, weight_VC, bias);
}

}  // namespace bitlaw::distill
