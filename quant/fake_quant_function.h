// Fake quantisation as a differentiable function: of a weight and its log scales, and of activations.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "quant/config.h"
#include "quant/spec.h"

namespace bitlaw::quant {

struct FakeQuantInputs {
  at::Tensor weight;              // float32 [out, in]
  at::Tensor log_scale;           // learned scales: [scale rows, groups]; else undefined
  at::Tensor scale;               // float32, what is divided by
  at::Tensor zero_point;          // int8, float32 where zero points are real, or undefined
  at::Tensor log_scale_negative;  // as log_scale and scale: asymmetric floats and quantiles, else undefined
  at::Tensor scale_negative;
  at::Tensor learned_zero_point;  // float32, what zero_point was rounded from; undefined where it is fixed
};

// Values in `type`: float32 or bfloat16. Gradients as quantizer.h describes for the method.
at::Tensor fake_quantise(const QuantSpec& spec, Method method, const FakeQuantInputs& inputs,
                         at::ScalarType type);
// d loss / d log_scale from d loss / d scale of each row [out, groups], of a weight of `elements`: LSQ's
// factor and d exp(l) / d l.
at::Tensor log_scale_gradient(const QuantSpec& spec, std::int64_t elements, const at::Tensor& log_scale,
                              const at::Tensor& row_sums);
// uint8 [out, in]
at::Tensor make_codes(const QuantSpec& spec, const FakeQuantInputs& inputs);
// The same as PackedTensor has them, without a matrix of codes between. InputError: a weight is not finite.
std::vector<std::uint32_t> make_packed_codes(const QuantSpec& spec, const FakeQuantInputs& inputs);
// Rows of x [..., C], float32 or bfloat16, or groups of them (strategy group, which must divide C), by the
// absmax scale of each. Nothing lies outside the range, so the gradient passes unchanged; but for e8m0 (MX),
// where the top of a block may saturate: there it is 0.
at::Tensor fake_quantise_rows(const at::Tensor& x, const QuantSpec& spec);

}  // namespace bitlaw::quant
