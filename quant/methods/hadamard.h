// Rotation of a layer's inputs by an orthonormal Walsh-Hadamard matrix, block by block: it spreads outliers
// over the block, and the weight takes its inverse, so that the layer computes the same.
//
// R of order n = 2^m, m >= 1: R(i, j) = (-1)^popcount(i & j) / sqrt(n), symmetric and its own inverse.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "quant/input_statistics.h"

namespace bitlaw::quant {

bool has_hadamard(std::int64_t block);
// R x over consecutive blocks of the last dimension, which `block` must divide. Float32 or float64;
// differentiable; autocast does not change it. On weights [out, in] the same call gives W R, whose product
// with a rotated input is that of W with the input.
at::Tensor rotate(const at::Tensor& x, std::int64_t block);

// Count, sum and Gram matrix of R x. The sums and extremes of |R x| do not follow from those of x: undefined.
InputStatistics rotated(const InputStatistics& inputs, std::int64_t block);

}  // namespace bitlaw::quant
