// Fixed codes of positions and timesteps: functions of the geometry, never trained.
//
// Shapes: B samples, H heads, L tokens, D head dim, C width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitlaw::distill {

// float32 [1, side^2, C], C a multiple of 4, computed in float64: DiT's table of a square grid, row-major.
// The first C/2 channels code the column, the last the row, each as [sin(p w_i), cos(p w_i)] with w_i =
// 10000^(-i / (C/4)).
at::Tensor sin_cos_positions(std::int64_t side, std::int64_t width);

// float32 [B, size]: [cos(t w_i), sin(t w_i)] with w_i = exp(-ln(10000) i / (size/2)), all in float32, as the
// timesteps of DiT and its kin are coded. t of any type, size even.
at::Tensor timestep_features(const at::Tensor& t_B, std::int64_t size);

// float32 [1 + side^2, D/2, 2]: cosine and sine by which LlamaGen rotates each pair of a head's channels, D a
// multiple of 4. Row 0, the class token's, is zero (its queries and keys vanish); image token j is row 1 + j.
// The first D/4 pairs turn by the grid row, the last by the column, by w_i = 10000^(-4i / D) a step.
at::Tensor rotary_table(std::int64_t side, std::int64_t head_dim);

// Neighbouring channels (2i, 2i + 1) of x [B, H, L, D] as complex numbers times those of the table [L, D/2,
// 2]; in float32, given back in the type of x.
at::Tensor rotate_pairs(const at::Tensor& x_BHLD, const at::Tensor& table_LP2);

}  // namespace bitlaw::distill
