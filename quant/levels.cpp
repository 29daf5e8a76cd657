// The level of every code of every format.
#include "quant/levels.h"

#include <array>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "quant/float_format.h"

namespace bitlaw::quant {

namespace {

constexpr std::array<float, 16> kNf4 = {-1.0F,
                                        -0.6961928009986877F,
                                        -0.5250730514526367F,
                                        -0.39491748809814453F,
                                        -0.28444138169288635F,
                                        -0.18477343022823334F,
                                        -0.09105003625154495F,
                                        0.0F,
                                        0.07958029955625534F,
                                        0.16093020141124725F,
                                        0.24611230194568634F,
                                        0.33791524171829224F,
                                        0.44070982933044434F,
                                        0.5626170039176941F,
                                        0.7229568362236023F,
                                        1.0F};

// n = 8 levels by the recipe that gives NF4 for n = 16: with o = 1 - (1 / (2 (n - 1)) + 1 / (2 n)) / 2, the
// normal distribution's quantiles at n/2 + 1 equidistant probabilities from o to 1/2 give the positive levels
// (the last one is the zero), those at n/2 probabilities, negated, the negative ones; all divided by the
// largest.
constexpr std::array<float, 8> kNf3 = {-1.0F,
                                       -0.5350227355957031F,
                                       -0.24693143367767334F,
                                       0.0F,
                                       0.1833374798297882F,
                                       0.38199394941329956F,
                                       0.6229857206344604F,
                                       1.0F};

template <std::size_t N>
constexpr std::array<float, N - 1> midpoints(const std::array<float, N>& levels) {
  std::array<float, N - 1> between{};
  for (std::size_t i = 0; i + 1 < N; ++i) {
    between[i] = (levels[i] + levels[i + 1]) * 0.5F;
  }
  return between;
}

constexpr std::array<float, 15> kNf4Thresholds = midpoints(kNf4);
constexpr std::array<float, 7> kNf3Thresholds = midpoints(kNf3);

std::vector<float> make_levels(const QuantSpec& spec) {
  const QuantSpecFields& fields = spec.fields();
  const int count = 1 << spec.bits();
  std::vector<float> levels;
  for (int code = 0; code < count; ++code) {
    if (fields.type == NumberType::floating) {
      levels.push_back(value_of_pattern(*fields.format, static_cast<std::uint8_t>(code)));
    } else {
      const int q = code - count / 2;
      const bool unused = q < spec.q_min() || q > spec.q_max();
      levels.push_back(unused ? std::numeric_limits<float>::quiet_NaN()
                              : static_cast<float>(q) + static_cast<float>(spec.level_offset()));
    }
  }
  return levels;
}

// The fields that levels depend on, by name: every table that a spec without quantiles can have.
std::map<std::string, std::vector<float>> make_tables() {
  std::map<std::string, std::vector<float>> tables;
  const auto add = [&](const std::string& name) {
    const QuantSpec spec = QuantSpec::parse(name);
    tables.emplace(name, make_levels(spec));
  };
  for (int bits = 2; bits <= 8; ++bits) {
    const std::string number = std::string("int").append(std::to_string(bits));
    add(number + ".tensor.sym");
    add(number + "h.tensor.sym");
  }
  for (const std::string_view format : data::EnumNames<FloatFormat>::names) {
    add(std::string(format) + ".tensor.sym");
  }
  add("ternary.tensor.sym");
  add("int8.g32.sym.e8m0");
  return tables;
}

}  // namespace

std::span<const float> quantile_levels(std::int64_t num_bits) {
  return num_bits == 3 ? std::span<const float>(kNf3) : std::span<const float>(kNf4);
}

std::span<const float> quantile_thresholds(std::int64_t num_bits) {
  return num_bits == 3 ? std::span<const float>(kNf3Thresholds) : std::span<const float>(kNf4Thresholds);
}

std::span<const float> levels_of(const QuantSpec& spec) {
  static const std::map<std::string, std::vector<float>> tables = make_tables();
  const QuantSpecFields& fields = spec.fields();
  if (fields.type == NumberType::quantile) {
    return quantile_levels(fields.num_bits);
  }
  const bool mx_integer = fields.type == NumberType::integer && fields.scale_dtype == ScaleType::e8m0;
  const std::string text = spec.to_string();
  return tables.at(mx_integer ? text : text.substr(0, text.find('.')) + ".tensor.sym");
}

}  // namespace bitlaw::quant
