// The same weights under another spec: exactly, or not at all.
//
// Containers know few specs. A writer restates a weight in one that its container holds, and a reader
// restates what it found in the spec that the weight was trained with. Nothing is rounded and no scale is
// derived: q stays, codes get a wider or narrower field, scales are repeated over smaller groups or merged
// where equal, a zero point of 0 comes and goes. Two rewritings change numbers by a power of two or a sum,
// and undo each other:
//   half grid -> integer grid     q' = 2q + 1, scale' = scale / 2      (the reverse: all q' odd)
//   asymmetric -> symmetric       q' = q - zero point, the zero points are forgotten; given back on the way
//                                 home by `zero_points`
// Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "quant/pack.h"

namespace bitlaw::quant {

// Why a weight has no exact form somewhere: a clause without a full stop, for InputError's brackets.
class NoExactForm : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws NoExactForm. The input transform stays as it is. `zero_points`, of the shape of to's scales, is for
// symmetric -> asymmetric; empty: all 0.
PackedTensor restate(const PackedTensor& packed, const QuantSpec& to,
                     std::span<const std::int8_t> zero_points = {});

// NoExactForm when x passes a multiplier or a rotation before the product, which `container` cannot say.
void refuse_input_transform(const PackedTensor& packed, const std::string& container);

// The fields of `spec` with another width, strategy, ...: a short way to a target.
QuantSpec with_bits(const QuantSpec& spec, int bits);

}  // namespace bitlaw::quant
