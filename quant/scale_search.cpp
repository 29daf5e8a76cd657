// What the elements of one group share, found from the elements.
#include "quant/scale_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/kernels/group_range.h"
#include "quant/learned_scale.h"
#include "quant/squared_error.h"

namespace bitlaw::quant {

namespace {

GroupRange finite_range(std::span<const float> w) {
  const GroupRange range = range_of(w);
  if (!range.is_finite) {
    throw_not_finite();
  }
  return range;
}

class Search {
 public:
  Search(const QuantSpec& spec, ScaleSearch kind, float global_scale, double power)
      : spec_(spec),
        kind_(kind),
        global_scale_(global_scale),
        power_(has_power(spec) ? power : 2.0),
        limits_(limits_of(spec.fields().scale_dtype)),
        top_level_(top_level(spec)) {}

  GroupParameters group(std::span<const float> w) const {
    const GroupRange range = finite_range(w);
    if (spec_.fields().type == NumberType::ternary) {
      return {stored(ternary_scale(w)), 1.0F, 0.0F};
    }
    if (kind_ == ScaleSearch::lsq || kind_ == ScaleSearch::lsq_plus) {
      return {stored(kind_ == ScaleSearch::lsq ? lsq_scale(w) : lsq_plus_scale(w)), 1.0F, 0.0F};
    }
    if (!spec_.has_negative_scale()) {
      return best(w, range);
    }
    std::vector<float> side(w.size());
    std::transform(w.begin(), w.end(), side.begin(), [](float x) { return x > 0.0F ? x : 0.0F; });
    const float positive = best(side, {0.0F, range.highest}).scale;
    std::transform(w.begin(), w.end(), side.begin(), [](float x) { return x < 0.0F ? x : 0.0F; });
    return {positive, best(side, {range.lowest, 0.0F}).scale, 0.0F};
  }

 private:
  static bool has_power(const QuantSpec& spec) {
    return spec.fields().type == NumberType::integer && spec.fields().scale_dtype != ScaleType::e8m0;
  }

  float stored(float scale) const { return storable_scale(scale / global_scale_, limits_); }

  // From the extremes alone.
  GroupParameters parameters_of(GroupRange range) const {
    if (spec_.fields().scale_dtype == ScaleType::e8m0) {
      return {mx_scale(range.amax(), spec_), 1.0F, 0.0F};
    }
    if (!spec_.has_zero_point()) {
      return {stored(range.amax() / top_level_), 1.0F, 0.0F};
    }
    const auto q_min = static_cast<float>(spec_.q_min());
    const auto q_max = static_cast<float>(spec_.q_max());
    const float scale = stored((range.highest - range.lowest) / (q_max - q_min));
    const float exact = q_min - range.lowest / scale;
    const bool real = spec_.has_real_zero_point();
    const float zero_point = real ? round_to(exact, ScaleType::float16) : std::nearbyint(exact);
    return {scale, 1.0F, std::clamp(zero_point, q_min, q_max)};
  }

  std::vector<GroupParameters> candidates(GroupRange range) const {
    const GroupParameters first = parameters_of(range);
    std::vector<GroupParameters> all = {first};
    if (spec_.fields().scale_dtype == ScaleType::e8m0) {
      for (const float factor : {2.0F, 0.5F, 0.25F}) {
        all.push_back({storable_scale(first.scale * factor, ScaleType::e8m0), 1.0F, 0.0F});
      }
      return all;
    }
    for (int percent = 99; percent > 20; --percent) {
      const float ratio = static_cast<float>(percent) / 100.0F;
      all.push_back(parameters_of({range.lowest * ratio, range.highest * ratio}));
    }
    return all;
  }

  GroupParameters best(std::span<const float> w, GroupRange range) const {
    if (kind_ == ScaleSearch::absmax || range.amax() == 0.0F) {
      return parameters_of(range);
    }
    GroupParameters winner;
    double least = -1.0;
    for (const GroupParameters& candidate : candidates(range)) {
      const double error = error_of(w, candidate);
      if (least < 0.0 || error < least) {
        least = error;
        winner = candidate;
      }
    }
    return winner;
  }

  double error_of(std::span<const float> w, GroupParameters candidate) const {
    candidate.scale *= global_scale_;
    return power_ == 2.0 ? squared_error(w, candidate, spec_) : power_error(w, candidate, spec_, power_);
  }

  float lsq_scale(std::span<const float> w) const {
    double sum = 0.0;
    for (const float x : w) {
      sum += std::abs(static_cast<double>(x));
    }
    const double largest = spec_.q_max() + spec_.level_offset();
    return static_cast<float>(2.0 * sum / static_cast<double>(w.size()) / std::sqrt(largest));
  }

  float lsq_plus_scale(std::span<const float> w) const {
    const auto count = static_cast<double>(w.size());
    double sum = 0.0;
    for (const float x : w) {
      sum += static_cast<double>(x);
    }
    const double mean = sum / count;
    double squares = 0.0;
    for (const float x : w) {
      squares += (static_cast<double>(x) - mean) * (static_cast<double>(x) - mean);
    }
    const double reach = std::abs(mean) + 3.0 * std::sqrt(squares / count);
    return static_cast<float>(reach / static_cast<double>(1 << (spec_.bits() - 1)));
  }

  // Given a scale, the elements above half of it become +-scale; given those k elements (the largest ones),
  // their mean is the best scale and sum w^2 - (sum of them)^2 / k the error.
  float ternary_scale(std::span<const float> w) const {
    std::vector<float> magnitudes(w.size());
    std::transform(w.begin(), w.end(), magnitudes.begin(), [](float x) { return std::abs(x); });
    double sum = 0.0;
    if (kind_ == ScaleSearch::absmax) {
      for (const float x : magnitudes) {
        sum += static_cast<double>(x);
      }
      return static_cast<float>(sum / static_cast<double>(w.size()));
    }
    std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
    double most = 0.0;
    double scale = 0.0;
    for (std::size_t i = 0; i < magnitudes.size(); ++i) {
      sum += static_cast<double>(magnitudes[i]);
      const auto count = static_cast<double>(i + 1);
      if (sum * sum / count > most) {
        most = sum * sum / count;
        scale = sum / count;
      }
    }
    return static_cast<float>(scale);
  }

  const QuantSpec& spec_;
  ScaleSearch kind_;
  float global_scale_;
  double power_;
  ScaleLimits limits_;
  float top_level_;
};

}  // namespace

GroupParameters find_group(std::span<const float> w, const QuantSpec& spec, ScaleSearch search,
                           float global_scale, double power) {
  return Search(spec, search, global_scale, power).group(w);
}

std::vector<GroupParameters> find_groups(std::span<const float> w, std::size_t width, const QuantSpec& spec,
                                         ScaleSearch search, float global_scale) {
  const Search one(spec, search, global_scale, 2.0);
  std::vector<GroupParameters> found(w.size() / width);
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i] = one.group(w.subspan(i * width, width));
  }
  return found;
}

void throw_not_finite() {
  throw data::InputError("the weight holds NaN or infinity", "it has no code",
                         "start from a state of the run in which all weights are finite");
}

float amax_of(std::span<const float> w) {
  return finite_range(w).amax();
}

}  // namespace bitlaw::quant
