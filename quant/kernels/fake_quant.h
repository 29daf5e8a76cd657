// Fused fake quantisation of a weight: forward, codes and backward read the weight once each. Vector
// instructions are chosen at run time, and every choice gives the same bits as fake_quant_math.h and
// level_quant_math.h. Torch-free.
#pragma once

#include <cstdint>

#include "quant/kernels/float_format_math.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// Which scale belongs to which element. Scales and zero points are [scale rows, groups], scale row r /
// rows_per_scale for row r of the weight.
struct FakeQuantPlan {
  NumberType type = NumberType::integer;
  std::int64_t in_features = 0;
  std::int64_t group_width = 0;
  std::int64_t groups = 0;          // of one row
  std::int64_t rows_per_scale = 1;  // Strategy::tensor: more than there are
  float q_min = 0.0F;               // integer and ternary
  float q_max = 0.0F;
  float offset = 0.0F;
  float code_offset = 0.0F;
  FloatElement element;               // floating
  const float* levels = nullptr;      // quantile
  const float* thresholds = nullptr;  // quantile
  int level_count = 0;
  const float* scale = nullptr;             // positive, finite; times the global scale where there is one
  const float* scale_negative = nullptr;    // floating and quantile; null when symmetric
  const std::int8_t* zero_point = nullptr;  // null when symmetric or real
  const float* zero_point_real = nullptr;
};
FakeQuantPlan fake_quant_plan(const QuantSpec& spec,
                              std::int64_t in_features);  // pointers to scales are left null

struct RowRange {
  std::int64_t first = 0;
  std::int64_t last = 0;  // exclusive
};

// All matrices are row-major and whole ([out, in]); only the rows of the range are read and written. A NaN in
// w gives a NaN.
void fake_quantise(const FakeQuantPlan& plan, const float* w, float* into, RowRange rows);
// The float32 product rounded once to bfloat16 (bit patterns).
void fake_quantise(const FakeQuantPlan& plan, const float* w, std::uint16_t* into, RowRange rows);
// Codes as quant/levels.h numbers them, of the rows of the range alone: [rows, in]. False where an element is
// NaN or infinite; its code then means nothing.
[[nodiscard]] bool make_codes(const FakeQuantPlan& plan, const float* w, std::uint8_t* into, RowRange rows);

template <class Gradient>  // float, or std::uint16_t: bfloat16 bit patterns
struct FakeQuantGradients {
  const float* w = nullptr;
  const Gradient* grad_output = nullptr;  // [out, in]
  float* grad_w = nullptr;                // [out, in]
  float* grad_scale = nullptr;  // [out, groups], each row's own sum even when the scale is shared; or null
  float* grad_scale_negative = nullptr;  // likewise, of elements that have scale_negative; or null
};
void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<float>& gradients,
                         RowRange rows);
void fake_quant_backward(const FakeQuantPlan& plan, const FakeQuantGradients<std::uint16_t>& gradients,
                         RowRange rows);

}  // namespace bitlaw::quant
