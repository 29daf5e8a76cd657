// The level of every code of every format, in units of the scale: one table serves packing, kernels and
// files.
//
// Code patterns: integer and ternary code = q + 2^(bits-1), level q + offset (without zero point); floating:
// the format's bit pattern, sign highest; quantile: the index of the sorted table. Quantile tables are those
// of normally distributed numbers: NF4 as published with QLoRA (Dettmers et al. 2023, arXiv 2305.14314), NF3
// by the same construction (levels.cpp). Torch-free.
#pragma once

#include <cstdint>
#include <span>

#include "quant/spec.h"

namespace bitlaw::quant {

// [2^bits], for the life of the program. NaN for the codes that are no levels: NaN and infinity of e4m3 and
// e5m2, -2 of ternary numbers, -128 of MXINT8.
std::span<const float> levels_of(const QuantSpec& spec);

// NF3 or NF4, sorted, from -1 to 1, with an exact 0.
std::span<const float> quantile_levels(std::int64_t num_bits);
// Midpoints of neighbouring levels in float32, one less than levels. A value on a midpoint takes the lower
// level.
std::span<const float> quantile_thresholds(std::int64_t num_bits);

}  // namespace bitlaw::quant
