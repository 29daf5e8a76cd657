// Operations between the matrix products of a transformer block: fused kernels on the CPU (distill/kernels),
// and the same as plain compositions of tensor operations, which any device and dtype runs and which the
// kernels are tested against (namespace reference).
//
// Shapes: B samples, L tokens, C width, H heads, D = C / H.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace bitlaw::distill {

inline constexpr double kLayerNormEpsilon = 1e-6;

// The type in which matrix products run now: autocast's where it is on, else float32.
at::ScalarType product_type(const at::Tensor& x);

// x + branch gate: x float32 [B, L, C]; branch [B, L, C] of any type; gate [B, C]. Float32.
at::Tensor gated_add(const at::Tensor& x_BLC, const at::Tensor& branch_BLC, const at::Tensor& gate_BC);

// LN(x) (1 + scale) + shift in `type`, LN without affine part: x float32 [B, L, C]; scale, shift [B, C].
at::Tensor modulated_norm(const at::Tensor& x_BLC, const at::Tensor& scale_BC, const at::Tensor& shift_BC,
                          at::ScalarType type);

// Both, one after the other; `normed` has the type of the branch.
struct Residual {
  at::Tensor sum;     // float32 [B, L, C]
  at::Tensor normed;  // [B, L, C]
};
Residual gated_add_norm(const at::Tensor& x_BLC, const at::Tensor& branch_BLC, const at::Tensor& gate_BC,
                        const at::Tensor& scale_BC, const at::Tensor& shift_BC);

at::Tensor gelu_tanh(const at::Tensor& x);

// Queries, keys and values out of the fused product [B, L, 3C] (q, k, v; inside each head-major), each
// [B, H, L, D]. With head_scale [H]: q and k of unit length, q multiplied by it; without (undefined): q
// multiplied by 0.25 / sqrt(D). Scores are then plain products.
struct HeadTensors {
  at::Tensor q, k, v;
};
HeadTensors split_heads(const at::Tensor& qkv_BL3C, std::int64_t heads, const at::Tensor& head_scale_H);

// Attention in which a token sees its own scale and all earlier ones: [B, L, 3C] -> [B, L, C].
// scale_ends[k] is the first token after scale k. No masked score is computed. The kernel: bfloat16 on CPUs
// with AVX512-BF16, D a multiple of 16.
at::Tensor block_causal_attention(const at::Tensor& qkv_BL3C, std::int64_t heads,
                                  const at::Tensor& head_scale_H,
                                  const std::vector<std::int64_t>& scale_ends);

// x W^T + bias as float32: x [B, L, C] and weight [V, C] of one type, bias float32 [V] or undefined.
// For bfloat16 the sums
// and the result stay float32; on CPUs with AVX512-BF16 by a kernel of their own, elsewhere in float32.
at::Tensor float_product(const at::Tensor& x_BLC, const at::Tensor& weight_VC, const at::Tensor& bias_V);

namespace reference {
at::Tensor gated_add(const at::Tensor& x_BLC, const at::Tensor& branch_BLC, const at::Tensor& gate_BC);
at::Tensor modulated_norm(const at::Tensor& x_BLC, const at::Tensor& scale_BC, const at::Tensor& shift_BC,
                          at::ScalarType type);
at::Tensor block_causal_attention(const at::Tensor& qkv_BL3C, std::int64_t heads,
                                  const at::Tensor& head_scale_H,
                                  const std::vector<std::int64_t>& scale_ends);
at::Tensor float_product(const at::Tensor& x_BLC, const at::Tensor& weight_VC, const at::Tensor& bias_V);
}  // namespace reference

}  // namespace bitlaw::distill
