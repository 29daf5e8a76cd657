// Scales of block formats: powers of two (OCP MX 1.0) and two-level scales (NVFP4). Torch-free.
//
// MX: X = 2^(floor(log2 amax) - emax), emax the exponent of the element format's largest number; exponents
// are clamped to -127 ... 127. amax / X lies in [2^emax, 2^(emax+1)), so the top of a block may saturate.
// MXINT8's elements are q / 64; here w = q * scale, so the scale is X / 64. Two levels: w = level * (scale *
// global_scale), scale in E4M3. The global scale is the smallest power of two for which no scale exceeds 448:
// then scale * global and scale / (1 / global) are equal to the bit, and files that store either direction
// hold the same weights (decision 0007).
#pragma once

#include <cstdint>

#include "quant/spec.h"

namespace bitlaw::quant {

// floor(log2 x) of a positive finite x, subnormal numbers included.
int floor_log2(float x);

// emax of an MX element; 6 for MXINT8, whose largest number 127 stands for 127 / 64.
int element_exponent(const QuantSpec& spec);
// Scale of an MX block (scale_dtype e8m0) by the standard's rule; 2^-127 where amax is 0.
float mx_scale(float amax, const QuantSpec& spec);
// The same by the rule of compressed-tensors: the exponent is one higher where amax would round to the next
// power of two (significand from 1.75, for e2m3 from 1.9375). Defined for e2m1, e2m3 and e4m3; else
// InputError.
float mx_scale_of_compressed_tensors(float amax, const QuantSpec& spec);

// 2^-127 ... 2^127 as the byte 0 ... 254.
std::uint8_t e8m0_byte(float power_of_two);
float e8m0_value(std::uint8_t byte);  // NaN for 255

// scale_dtype e4m3: the global scale of a tensor with this amax, 1 where amax is 0.
float global_scale_of_amax(float amax, const QuantSpec& spec);
// The level that amax is mapped to by scale_search: absmax: 7.5 for int4, 6 for e2m1, 1 for nf4.
float top_level(const QuantSpec& spec);
// LSQ's Q_P: q_max of integers, the largest number of the other formats.
double largest_level(const QuantSpec& spec);

}  // namespace bitlaw::quant
