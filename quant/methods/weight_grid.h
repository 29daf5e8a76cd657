// What a method asks of a number format: the scale of a group of weights, the nearest level's code, and the
// value of a code. Every method works on these three, so it works for every format that has them. Torch-free.
#pragma once

#include <cstdint>
#include <span>

#include "quant/config.h"
#include "quant/scale_search.h"
#include "quant/spec.h"

namespace bitlaw::quant {

// How a group's range is chosen.
struct ScaleRule {
  ScaleSearch search = ScaleSearch::absmax;
  // mse of integers: the range is shrunk by 0 %, 1 %, ... 79 %, the least sum of |error|^power wins, the
  // first of equals. Other formats have power 2 (scale_search.h).
  double power = 2.0;
};

class WeightGrid {
 public:
  // InputError for a spec that is not one of weights. global_scale: of the whole weight, 1 unless scale_dtype
  // is e4m3.
  explicit WeightGrid(const QuantSpec& spec, float global_scale = 1.0F);

  // Of finite weights, at least one. Zero is inside the range.
  GroupParameters find(std::span<const float> w, const ScaleRule& rule) const;
  // Of the range [lowest, highest], lowest <= 0 <= highest. Not for ternary numbers.
  GroupParameters of_range(float lowest, float highest) const;
  std::uint8_t code(float w, const GroupParameters& group) const;
  float value(std::uint8_t code, const GroupParameters& group) const;
  const QuantSpec& spec() const { return spec_; }
  float global_scale() const { return global_scale_; }

 private:
  QuantSpec spec_;
  std::span<const float> levels_;  // of each code, for the formats that are no integers
  float global_scale_;
  float q_min_;
  float q_max_;
  float offset_;
};

}  // namespace bitlaw::quant
