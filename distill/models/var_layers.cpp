// Parts of the VAR transformer.
#include "distill/models/var_layers.h"

#include <ATen/ATen.h>

#include <cmath>

#include "distill/models/transformer_ops.h"

namespace bitlaw::distill {

SelfAttention::SelfAttention(const VarShape& shape) : num_heads_(shape.num_heads) {
  const std::int64_t width = shape.width;
  if (shape.attn_l2_norm)
    scale_mul_1H11_ = register_parameter("scale_mul_1H11", at::full({1, num_heads_, 1, 1}, std::log(4.0)));
  q_bias_ = register_parameter("q_bias", at::zeros({width}));
  v_bias_ = register_parameter("v_bias", at::zeros({width}));
  zero_k_bias_ = register_buffer("zero_k_bias", at::zeros({width}));
  mat_qkv_ =
      register_module("mat_qkv", std::make_shared<quant::Linear>(width, 3 * width, quant::Linear::Bias::no));
  proj_ = register_module("proj", std::make_shared<quant::Linear>(width, width));
}

quant::BufferRole SelfAttention::buffer_role(std::string_view /*name*/) const {
  return quant::BufferRole::constant;
}

at::Tensor SelfAttention::head_scale() const {
  if (!scale_mul_1H11_.defined()) return {};
  return rest(scale_mul_1H11_).clamp_max(std::log(100.0)).exp().view({num_heads_});
}

at::Tensor SelfAttention::forward(const at::Tensor& x_BLC, const AttentionScope& scope) {
  const at::Tensor bias = at::cat({rest(q_bias_), zero_k_bias_, rest(v_bias_)});
  const at::Tensor qkv_BL3C = mat_qkv_->forward_with_bias(x_BLC, bias);
  if (scope.keys != nullptr) return proj_->forward(attend_to_cache(qkv_BL3C, scope));
  return proj_->forward(block_causal_attention(qkv_BL3C, num_heads_, head_scale(), *scope.scale_ends));
}

at::Tensor SelfAttention::attend_to_cache(const at::Tensor& qkv_BL3C, const AttentionScope& scope) const {
  const HeadTensors split = split_heads(qkv_BL3C, num_heads_, head_scale());
  *scope.keys = scope.keys->defined() ? at::cat({*scope.keys, split.k}, 2) : split.k.contiguous();
  *scope.values = scope.values->defined() ? at::cat({*scope.values, split.v}, 2) : split.v.contiguous();
  const at::Tensor h_BHTD =
      at::scaled_dot_product_attention(split.q, *scope.keys, *scope.values, {}, 0.0, false, /*scale=*/1.0);
  return h_BHTD.transpose(1, 2).flatten(2);
}

VarBlock::VarBlock(const VarShape& shape) {
  attn_ = register_module("attn", std::make_shared<SelfAttention>(shape));
  const auto hidden =
      static_cast<std::int64_t>(std::llround(static_cast<double>(shape.width) * shape.mlp_ratio));
  ffn_ = register_module("ffn", std::make_shared<FeedForward>(shape.width, hidden));
  if (shape.shared_ada_lin)
    ada_gss_ = register_parameter("ada_gss", at::zeros({1, 1, 6, shape.width}));
  else
    ada_lin_ = register_module("ada_lin", std::make_shared<AdaLin>(shape.width, 6));
}

at::Tensor VarBlock::modulation(const at::Tensor& source) {
  return ada_lin_ ? ada_lin_->forward(source) : source + rest(ada_gss_).squeeze(0);
}

at::Tensor VarBlock::forward(const at::Tensor& x_BLC, const at::Tensor& modulation_B6C,
                             const AttentionScope& scope) {
  const std::vector<at::Tensor> vectors_BC = modulation_B6C.unbind(1);
  const at::Tensor &gamma1 = vectors_BC[0], &gamma2 = vectors_BC[1], &scale1 = vectors_BC[2];
  const at::Tensor &scale2 = vectors_BC[3], &shift1 = vectors_BC[4], &shift2 = vectors_BC[5];
  const at::Tensor normed_BLC = modulated_norm(x_BLC, scale1, shift1, product_type(x_BLC));
  const Residual middle = gated_add_norm(x_BLC, attn_->forward(normed_BLC, scope), gamma1, scale2, shift2);
  return gated_add(middle.sum, ffn_->forward(middle.normed), gamma2);
}

}  // namespace bitlaw::distill
