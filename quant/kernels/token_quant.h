// Per-token dynamic fake quantisation of activations, one pass over each row while it is in cache.
// Torch-free.
#pragma once

#include <cstdint>

#include "quant/kernels/fake_quant.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// Rows of x [rows, width] by the absmax scale of each row (affine.h, with the row as the group; e8m0: the
// standard's, block_format.h). A row that
// holds an infinity becomes NaN, so that whoever guards the loss sees it.
void fake_quantise_tokens(const QuantSpec& spec, const float* x, std::int64_t width, float* into,
                          RowRange rows);
// bfloat16 bit patterns in and out; the arithmetic is float32, the value is rounded once.
void fake_quantise_tokens(const QuantSpec& spec, const std::uint16_t* x, std::int64_t width,
                          std::uint16_t* into, RowRange rows);

}  // namespace bitlaw::quant
