// Scales, codes and values of one group of weights.
#include "quant/methods/weight_grid.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "data/formats/input_error.h"
#include "quant/float_format.h"
#include "quant/levels.h"

namespace bitlaw::quant {

WeightGrid::WeightGrid(const QuantSpec& spec, float global_scale)
    : spec_(spec),
      levels_(levels_of(spec)),
      global_scale_(global_scale),
      q_min_(static_cast<float>(spec.q_min())),
      q_max_(static_cast<float>(spec.q_max())),
      offset_(static_cast<float>(spec.level_offset())) {
  if (spec.fields().strategy == Strategy::token) {
    throw data::InputError("strategy: token", "a weight has no tokens",
                           "use tensor, channel, group or block");
  }
}

GroupParameters WeightGrid::of_range(float lowest, float highest) const {
  const std::array<float, 2> ends{lowest, highest};
  return find_group(ends, spec_, ScaleSearch::absmax, global_scale_);
}

GroupParameters WeightGrid::find(std::span<const float> w, const ScaleRule& rule) const {
  return find_group(w, spec_, rule.search, global_scale_, rule.power);
}

std::uint8_t WeightGrid::code(float w, const GroupParameters& group) const {
  const NumberType type = spec_.fields().type;
  const bool negative = spec_.has_negative_scale() && std::signbit(w);
  const float exact = w / ((negative ? group.scale_negative : group.scale) * global_scale_);
  if (type == NumberType::floating) {
    return pattern_of(exact, *spec_.fields().format);
  }
  if (type == NumberType::quantile) {
    const std::span<const float> thresholds = quantile_thresholds(spec_.bits());
    return static_cast<std::uint8_t>(std::lower_bound(thresholds.begin(), thresholds.end(), exact) -
                                     thresholds.begin());
  }
  const float rounded = std::nearbyint(exact + (group.zero_point - offset_));
  const float first_code = -static_cast<float>(1 << (spec_.bits() - 1));
  return static_cast<std::uint8_t>(std::clamp(rounded, q_min_, q_max_) - first_code);
}

float WeightGrid::value(std::uint8_t code, const GroupParameters& group) const {
  const float level = levels_[code];
  const bool negative = spec_.has_negative_scale() && std::signbit(level);
  return (level - group.zero_point) * ((negative ? group.scale_negative : group.scale) * global_scale_);
}

}  // namespace bitlaw::quant
