// The error of a group seen through candidate parameters.
#include "quant/squared_error.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/float_format.h"
#include "quant/kernels/power_math.h"
#include "quant/levels.h"

namespace bitlaw::quant {

namespace {

constexpr int kLanes = 16;  // sums of so many elements run side by side: vector code, one order of additions

double add_pairwise(const std::array<float, kLanes>& sums) {
  std::array<double, kLanes> partial{};
  std::copy(sums.begin(), sums.end(), partial.begin());
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) {
      partial[i] += partial[i + half];
    }
  }
  return partial[0];
}

// term_of: an element's share.
template <class Term>
double sum_of(std::span<const float> w, const Term& term_of) {
  constexpr std::size_t kBlock = 4096;
  double total = 0;
  for (std::size_t begin = 0; begin < w.size(); begin += kBlock) {
    const std::size_t end = std::min(w.size(), begin + kBlock);
    std::array<float, kLanes> sums{};
    std::size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::size_t j = 0; j < kLanes; ++j) {
        sums[j] += term_of(w[i + j]);
      }
    }
    for (; i < end; ++i) {
      sums[0] += term_of(w[i]);
    }
    total += add_pairwise(sums);
  }
  return total;
}

template <class Error>
double sum_of_squares(std::span<const float> w, const Error& error_of) {
  return sum_of(w, [&](float x) {
    const float error = error_of(x);
    return error * error;
  });
}

// The error of an element on the grid of integers.
auto grid_error(const GroupParameters& parameters, const QuantSpec& spec) {
  constexpr float kMagic = 0x1.8p23F;  // x + kMagic - kMagic rounds |x| < 2^22 to an integer, half to even
  const float inverse = 1.0F / parameters.scale;
  const float unshift = static_cast<float>(spec.level_offset()) - parameters.zero_point;
  const auto q_min = static_cast<float>(spec.q_min());
  const auto q_max = static_cast<float>(spec.q_max());
  const float scale = parameters.scale;
  return [=](float x) {
    const float exact = x * inverse - unshift;
    const float low = exact < q_min ? q_min : exact;
    const float inside = low > q_max ? q_max : low;
    return ((inside + kMagic) - kMagic + unshift) * scale - x;
  };
}

double float_error(std::span<const float> w, float scale, FloatFormat format) {
  const FloatElement element = element_of(format);
  const float inverse = 1.0F / scale;
  return sum_of_squares(w, [&](float x) {
    const float magnitude = std::abs(x);
    return round_magnitude(magnitude * inverse, element) * scale - magnitude;
  });
}

double table_error(std::span<const float> w, float scale, int bits) {
  const std::span<const float> levels = quantile_levels(bits);
  const std::span<const float> thresholds = quantile_thresholds(bits);
  const float inverse = 1.0F / scale;
  return sum_of_squares(w, [&](float x) {
    const float exact = x * inverse;
    float level = levels[0];
    for (std::size_t i = 0; i < thresholds.size(); ++i) {
      level = exact > thresholds[i] ? levels[i + 1] : level;
    }
    return level * scale - x;
  });
}

}  // namespace

double squared_error(std::span<const float> w, const GroupParameters& parameters, const QuantSpec& spec) {
  switch (spec.fields().type) {
    case NumberType::floating:
      return float_error(w, parameters.scale, *spec.fields().format);
    case NumberType::quantile:
      return table_error(w, parameters.scale, spec.bits());
    case NumberType::integer:
    case NumberType::ternary:
      break;
  }
  return sum_of_squares(w, grid_error(parameters, spec));
}

double power_error(std::span<const float> w, const GroupParameters& parameters, const QuantSpec& spec,
                   double power) {
  const auto error_of = grid_error(parameters, spec);
  const auto beyond_two = static_cast<float>(power - 2.0);
  return sum_of(w, [=](float x) {
    const float error = error_of(x);
    return error * error * power_of(std::abs(error), beyond_two);
  });
}

}  // namespace bitlaw::quant
