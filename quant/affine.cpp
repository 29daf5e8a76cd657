// Scales, codes and values of integer quantisation on plain spans.
#include "quant/affine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/learned_scale.h"

namespace bitlaw::quant {

namespace {

struct Range {
  float lowest = 0.0F;  // zero is always inside
  float highest = 0.0F;
};

// What the weights of one group share.
struct Parameters {
  float scale = 1.0F;
  int zero_point = 0;
};

constexpr int kLanes = 16;  // sums of so many elements run side by side: vector code, one order of additions

[[noreturn]] void throw_not_finite() {
  throw data::InputError("the weight holds NaN or infinity", "it has no code",
                         "start from a state of the run in which all weights are finite");
}

Range range_of(std::span<const float> w) {
  std::array<float, kLanes> lowest{};
  std::array<float, kLanes> highest{};
  std::array<float, kLanes> poison{};  // x - x is NaN for NaN and infinity, else 0
  std::size_t i = 0;
  for (; i + kLanes <= w.size(); i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const float x = w[i + j];
      lowest[j] = x < lowest[j] ? x : lowest[j];
      highest[j] = x > highest[j] ? x : highest[j];
      poison[j] += x - x;
    }
  }
  for (; i < w.size(); ++i) {
    lowest[0] = std::min(lowest[0], w[i]);
    highest[0] = std::max(highest[0], w[i]);
    poison[0] += w[i] - w[i];
  }
  if (std::any_of(poison.begin(), poison.end(), [](float x) { return x != 0.0F; })) {
    throw_not_finite();
  }
  return {*std::min_element(lowest.begin(), lowest.end()), *std::max_element(highest.begin(), highest.end())};
}

Parameters parameters_of(const QuantSpec& spec, Range range) {
  const auto steps = static_cast<float>(spec.q_max() - spec.q_min());
  if (spec.fields().symmetric) {
    const float amax = std::max(-range.lowest, range.highest);
    return {storable_scale(amax / (steps / 2.0F), spec.fields().scale_dtype), 0};
  }
  const float scale = storable_scale((range.highest - range.lowest) / steps, spec.fields().scale_dtype);
  const auto q_min = static_cast<float>(spec.q_min());
  const auto q_max = static_cast<float>(spec.q_max());
  return {scale, static_cast<int>(std::clamp(std::nearbyint(q_min - range.lowest / scale), q_min, q_max))};
}

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

// Sum of squared errors. Multiplies by 1 / scale: where that turns a code, two codes are equally far.
double squared_error(std::span<const float> w, const Parameters& parameters, const QuantSpec& spec) {
  constexpr float kMagic = 0x1.8p23F;  // x + kMagic - kMagic rounds |x| < 2^22 to an integer, half to even
  constexpr std::size_t kBlock = 4096;
  const float inverse = 1.0F / parameters.scale;
  const float unshift = static_cast<float>(spec.level_offset()) - static_cast<float>(parameters.zero_point);
  const auto q_min = static_cast<float>(spec.q_min());
  const auto q_max = static_cast<float>(spec.q_max());
  const auto square = [&](float x) {
    const float exact = x * inverse - unshift;
    const float low = exact < q_min ? q_min : exact;
    const float inside = low > q_max ? q_max : low;
    const float error = ((inside + kMagic) - kMagic + unshift) * parameters.scale - x;
    return error * error;
  };
  double total = 0;
  for (std::size_t begin = 0; begin < w.size(); begin += kBlock) {
    const std::size_t end = std::min(w.size(), begin + kBlock);
    std::array<float, kLanes> sums{};
    std::size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::size_t j = 0; j < kLanes; ++j) {
        sums[j] += square(w[i + j]);
      }
    }
    for (; i < end; ++i) {
      sums[0] += square(w[i]);
    }
    total += add_pairwise(sums);
  }
  return total;
}

// The range is shrunk by 1 %, 2 %, ... 79 %; the first of equally good ones wins.
Parameters search_parameters(std::span<const float> w, const QuantSpec& spec, Range range) {
  Parameters best = parameters_of(spec, range);
  double least = squared_error(w, best, spec);
  for (int percent = 99; percent > 20; --percent) {
    const float ratio = static_cast<float>(percent) / 100.0F;
    const Parameters candidate = parameters_of(spec, {range.lowest * ratio, range.highest * ratio});
    const double error = squared_error(w, candidate, spec);
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

// Rounds the significand's last `dropped` bits away, half to even; a carry moves on into the exponent.
float round_bits(float value, unsigned dropped) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t mask = (1U << dropped) - 1;
  const std::uint32_t even = bits >> dropped & 1;
  return std::bit_cast<float>((bits + (mask >> 1) + even) & ~mask);
}

float round_to_half(float value) {
  if (std::abs(value) < 0x1p-14F) {  // multiples of the smallest subnormal
    return std::nearbyint(value * 0x1p24F) * 0x1p-24F;
  }
  const float rounded = round_bits(value, 13);
  return std::abs(rounded) > 65504.0F ? std::copysign(std::numeric_limits<float>::infinity(), value)
                                      : rounded;
}

}  // namespace

AffineParameters find_parameters(std::span<const float> w, std::int64_t out_features,
                                 std::int64_t in_features, const QuantSpec& spec, ScaleSearch search) {
  if (static_cast<std::int64_t>(w.size()) != out_features * in_features) {
    throw data::InputError(std::to_string(w.size()) + " weights for shape [" + std::to_string(out_features) +
                               ", " + std::to_string(in_features) + "]",
                           "they do not fit", "check the layer");
  }
  const bool one_group = spec.fields().strategy == Strategy::tensor;
  const auto width = one_group ? w.size() : static_cast<std::size_t>(spec.group_width(in_features));
  AffineParameters found;
  for (std::size_t begin = 0; begin < w.size(); begin += width) {
    const std::span<const float> group = w.subspan(begin, width);
    const Range range = range_of(group);
    const bool blank = range.lowest == 0.0F && range.highest == 0.0F;
    const Parameters parameters = search == ScaleSearch::mse && !blank ? search_parameters(group, spec, range)
                                                                       : parameters_of(spec, range);
    found.scale.push_back(parameters.scale);
    if (!spec.fields().symmetric) {
      found.zero_point.push_back(static_cast<std::int8_t>(parameters.zero_point));
    }
  }
  return found;
}

float round_to(float value, ScaleType type) {
  if (type == ScaleType::float32 || !std::isfinite(value)) {
    return value;
  }
  return type == ScaleType::float16 ? round_to_half(value) : round_bits(value, 16);
}

int code_value(float w, float scale, int zero_point, const QuantSpec& spec) {
  const auto shift = static_cast<float>(zero_point - spec.level_offset());
  const float rounded = std::nearbyint(w / scale + shift);
  return static_cast<int>(
      std::clamp(rounded, static_cast<float>(spec.q_min()), static_cast<float>(spec.q_max())));
}

float level(int q, float scale, int zero_point, const QuantSpec& spec) {
  return (static_cast<float>(q - zero_point) + static_cast<float>(spec.level_offset())) * scale;
}

}  // namespace bitlaw::quant
