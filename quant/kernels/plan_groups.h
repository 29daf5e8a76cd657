// What the elements of one group share, as a plan says. Torch-free.
#pragma once

#include "quant/kernels/fake_quant.h"
#include "quant/kernels/fake_quant_math.h"
#include "quant/kernels/level_quant_math.h"

namespace bitlaw::quant {

// index: of the group among all scales.
inline GroupConstants grid_group(const FakeQuantPlan& plan, std::int64_t index) {
  float zero_point = plan.zero_point != nullptr ? static_cast<float>(plan.zero_point[index]) : 0.0F;
  zero_point = plan.zero_point_real != nullptr ? plan.zero_point_real[index] : zero_point;
  return {plan.scale[index], zero_point - plan.offset, plan.offset - zero_point, plan.q_min,
          plan.q_max,        plan.code_offset};
}

inline LevelScales level_scales(const FakeQuantPlan& plan, std::int64_t index) {
  const bool two_sided = plan.scale_negative != nullptr;
  return {plan.scale[index], two_sided ? plan.scale_negative[index] : plan.scale[index], two_sided};
}

inline FloatGroup float_group(const FakeQuantPlan& plan, std::int64_t index) {
  return {level_scales(plan, index), plan.element};
}

inline TableGroup table_group(const FakeQuantPlan& plan, std::int64_t index) {
  return {level_scales(plan, index), plan.levels, plan.thresholds, plan.level_count};
}

}  // namespace bitlaw::quant
