// Values of a weight whose codes are given, and the sums that gradients of its scales are
// (quant/frozen_codes.h). Vector instructions are chosen at run time and give the same bits. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "quant/kernels/fake_quant.h"

namespace bitlaw::quant {

// Scales and zero points are [scale rows, groups], scale row r / rows_per_scale for row r of the weight.
struct FrozenPlan {
  const std::uint8_t* codes = nullptr;  // [out, in], each has a level
  std::int64_t in_features = 0;
  std::int64_t group_width = 0;
  std::int64_t groups = 0;  // of one row
  std::int64_t rows_per_scale = 1;
  const std::int32_t* group_index = nullptr;  // [in]: group of each input; null: i / group_width
  std::span<const float> levels;              // of each code (quant/levels.h)
  std::optional<float> first_level;           // the level of code c is first_level + c
  const float* scale = nullptr;
  const float* scale_negative = nullptr;  // of levels with a sign; null: the same
  const float* zero_point = nullptr;      // null: 0
};

// into, [out, in]: (level - zero point) * scale in float32; to bfloat16 (bit patterns) rounded once. Only the
// rows of the range.
void frozen_values(const FrozenPlan& plan, float* into, RowRange rows);
void frozen_values(const FrozenPlan& plan, std::uint16_t* into, RowRange rows);

// d loss / d scale of each row, [out, groups], zero before: level minus zero point times the gradient, summed
// in double in the order of the inputs.
struct FrozenSums {
  double* scale = nullptr;
  double* scale_negative = nullptr;  // of levels with a sign; null where the plan has none
};
void frozen_sums(const FrozenPlan& plan, const float* grad_output, const FrozenSums& into, RowRange rows);
void frozen_sums(const FrozenPlan& plan, const std::uint16_t* grad_output, const FrozenSums& into,
                 RowRange rows);

}  // namespace bitlaw::quant
