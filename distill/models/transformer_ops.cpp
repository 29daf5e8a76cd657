// The compositions.
#include "distill/models/transformer_ops.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include <cmath>

#include "distill/models/full_precision.h"

namespace bitlaw::distill {

at::ScalarType product_type(const at::Tensor& x) {
  const at::DeviceType device = x.device().type();
  return at::autocast::is_autocast_enabled(device) ? at::autocast::get_autocast_dtype(device) : at::kFloat;
}

HeadTensors split_heads(const at::Tensor& qkv_BL3C, std::int64_t heads, const at::Tensor& head_scale_H) {
  const std::int64_t batch = qkv_BL3C.size(0), tokens = qkv_BL3C.size(1);
  const std::int64_t head_dim = qkv_BL3C.size(2) / (3 * heads);
  const at::Tensor qkv_3BHLD = qkv_BL3C.reshape({batch, tokens, 3, heads, head_dim}).permute({2, 0, 3, 1, 4});
  HeadTensors split{qkv_3BHLD[0], qkv_3BHLD[1], qkv_3BHLD[2]};
  if (!head_scale_H.defined()) {
    split.q = split.q * (0.25 / std::sqrt(static_cast<double>(head_dim)));
    return split;
  }
  const auto unit = [](const at::Tensor& x) {
    const at::Tensor full = x.to(at::kFloat);
    return full / full.norm(2, -1, /*keepdim=*/true).clamp_min(1e-12);
  };
  split.q = (unit(split.q) * head_scale_H.view({1, heads, 1, 1})).to(qkv_BL3C.scalar_type());
  split.k = unit(split.k).to(qkv_BL3C.scalar_type());
  return split;
}

namespace reference {

at::Tensor gated_add(const at::Tensor& x_BLC, const at::Tensor& branch_BLC, const at::Tensor& gate_BC) {
  return x_BLC + branch_BLC * gate_BC.unsqueeze(1);
}

at::Tensor modulated_norm(const at::Tensor& x_BLC, const at::Tensor& scale_BC, const at::Tensor& shift_BC,
                          at::ScalarType type) {
  const at::Tensor normed_BLC = at::layer_norm(x_BLC, {x_BLC.size(-1)}, {}, {}, kLayerNormEpsilon);
  return (normed_BLC * (scale_BC.unsqueeze(1) + 1) + shift_BC.unsqueeze(1)).to(type);
}

at::Tensor block_causal_attention(const at::Tensor& qkv_BL3C, std::int64_t heads,
                                  const at::Tensor& head_scale_H,
                                  const std::vector<std::int64_t>& scale_ends) {
  const HeadTensors split = split_heads(qkv_BL3C, heads, head_scale_H);
  std::vector<at::Tensor> parts;
  std::int64_t begin = 0;
  for (const std::int64_t end : scale_ends) {
    const at::Tensor q_BHTD = split.q.narrow(2, begin, end - begin);
    const at::Tensor k_BHSD = split.k.narrow(2, 0, end), v_BHSD = split.v.narrow(2, 0, end);
    const at::Tensor weights_BHTS = at::softmax(at::matmul(q_BHTD, k_BHSD.transpose(2, 3)), -1);
    parts.push_back(at::matmul(weights_BHTS.to(v_BHSD.scalar_type()), v_BHSD));
    begin = end;
  }
  return at::cat(parts, 2).transpose(1, 2).flatten(2);
}

at::Tensor float_product(const at::Tensor& x_BLC, const at::Tensor& weight_VC, const at::Tensor& bias_V) {
  const FullPrecision full(x_BLC.device().type());
  return at::linear(x_BLC.to(at::kFloat), weight_VC.to(at::kFloat), bias_V);
}

}  // namespace reference

}  // namespace bitlaw::distill
