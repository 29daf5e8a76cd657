// GPTQ (Frantar et al., arXiv 2210.17323): weights are rounded one input at a time, and what rounding did to
// the output is made up for by the inputs that are still free.
//
// With H the second moments of the layer's input and U the upper Cholesky factor of H^-1 (H^-1 = U^T U), for
// j in order: q_j = nearest(w_j), e = (w_j - q_j) / U_jj, w_k -= e U_jk for k > j. Inputs are taken in blocks
// of `block`: within one the updates are made at once, after it all later inputs are updated by one product.
// The scale of a group is found when its first input is reached, from the weights as updated by the finished
// blocks, as the authors' code does: with a group smaller than the block, errors of the same block are not in
// it yet. U comes from one factorisation of H with rows and columns reversed and one triangular inverse.
#pragma once

#include "quant/input_statistics.h"
#include "quant/methods/layer_codes.h"

namespace bitlaw::quant {

struct GptqOptions {
  bool act_order = false;      // inputs of large second moment first
  bool static_groups = false;  // all scales first, from the original weights; groups stay contiguous
  double damping = 0.01;       // added to the diagonal of H, times its mean
  std::int64_t block = 128;
  ScaleRule scales{ScaleSearch::absmax, 2.4};  // the authors' search has power 2.4
};

// weight: float32 [out, in]. Inputs that never were anything but zero get the level nearest to zero; where
// scales come before rounding begins (one group a row) their weights still count in the range, as in the
// authors' code. Scales under a global scale (e4m3) that are found during rounding have one binade of room
// above the original weights' largest: compensation makes weights larger; beyond that a scale saturates at
// the largest e4m3, and its group is clipped. With act_order and neither static_groups nor one group a row,
// the result has a group_index. InputError: the weight or the statistics are not finite; act_order with
// scales shared by rows of a block; the damped moments have no factorisation.
LayerCodes gptq(const at::Tensor& weight, const InputStatistics& inputs, const QuantSpec& spec,
                const GptqOptions& options = {});

// float64 [n, n] symmetric positive definite -> float32 upper triangular U with U^T U = inverse. Factorised
// in float64; the inverse of the triangle, whose condition is the root of the moments', in float32.
at::Tensor inverse_upper_factor(const at::Tensor& moments);

}  // namespace bitlaw::quant
