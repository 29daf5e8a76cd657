// Fake quantisation of a weight matrix [out, in]: forward, codes and backward, one pass over the weight each.
// CPU, on raw pointers; vector instructions are chosen at run time, and every choice gives the same bits as
// fake_quant_math.h. Torch-free.
#pragma once

#include <cstdint>

#include "quant/spec.h"

namespace bitlaw::quant {

// Which scale belongs to which element. Scales and zero points are [out, groups], or [1, 1] when shared.
struct FakeQuantPlan {
  std::int64_t in_features = 0;
  std::int64_t group_width = 0;
  std::int64_t groups = 0;    // of one row
  bool shared_scale = false;  // Strategy::tensor
  float q_min = 0.0F;
  float q_max = 0.0F;
  float offset = 0.0F;
  const float* scale = nullptr;             // positive, finite
  const std::int8_t* zero_point = nullptr;  // null when symmetric
};
FakeQuantPlan fake_quant_plan(const QuantSpec& spec, std::int64_t in_features);  // pointers are left null

struct RowRange {
  std::int64_t first = 0;
  std::int64_t last = 0;  // exclusive
};

// All matrices are row-major and whole ([out, in]); only the rows of the range are read and written. A NaN in
// w gives a NaN.
void fake_quantise(const FakeQuantPlan& plan, const float* w, float* into, RowRange rows);
// The float32 product rounded once to bfloat16 (bit patterns).
void fake_quantise(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows);
// Codes 0 .. 2^bits - 1. w is finite.
void make_codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows);

template <class Gradient>  // float, or std::uint16_t: bfloat16 bit patterns
struct FakeQuantGradients {
  const float* w = nullptr;
  const Gradient* grad_output = nullptr;  // [out, in]
  float* grad_w = nullptr;                // [out, in]
  float* grad_scale = nullptr;  // [out, groups], each row's own sum even when the scale is shared; or null
};
void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<float>& gradients,
                         RowRange rows);
void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<std::uint16_t>& gradients,
                         RowRange rows);

}  // namespace bitlaw::quant
