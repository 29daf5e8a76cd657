// Operations between the matrix products of a transformer block.
//
// Shapes: B samples, L tokens, C width, H heads, D = C / H.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace bitlaw::distill {

inline constexpr double kLayerNormEpsilon = 1e-6;

// LN(x) (1 + scale) + shift, LN without affine part: x [B, L, C]; scale, shift [B, C].
at::Tensor modulated_norm(const at::Tensor& x_BLC, const at::Tensor& scale_BC, const at::Tensor& shift_BC);

// Queries, keys and values out of the fused product [B, L, 3C] (q, k, v; inside each head-major), each
// [B, H, L, D]. With head_scale [H]: q and k of unit length, q multiplied by it; without (undefined): q
// multiplied by 0.25 / sqrt(D). Scores are then plain products.
struct HeadTensors {
  at::Tensor q, k, v;
};
HeadTensors split_heads(const at::Tensor& qkv_BL3C, std::int64_t heads, const at::Tensor& head_scale_H);

// Attention in which a token sees its own scale and all earlier ones: [B, L, 3C] -> [B, L, C].
// scale_ends[k] is the first token after scale k. No masked score is computed.
at::Tensor block_causal_attention(const at::Tensor& qkv_BL3C, std::int64_t heads,
                                  const at::Tensor& head_scale_H,
                                  const std::vector<std::int64_t>& scale_ends);

}  // namespace bitlaw::distill
