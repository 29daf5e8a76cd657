// Numbers and specs that the tests of quant share. Torch-free.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "quant/spec.h"

namespace bitlaw::quant {

// Roughly normal numbers (a sum of twelve uniform ones), the same on every machine.
inline std::vector<float> normal_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values;
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (std::int64_t i = 0; i < count; ++i) {
    double sum = -6.0;
    for (int k = 0; k < 12; ++k) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      sum += static_cast<double>(state >> 11) * 0x1p-53;
    }
    values.push_back(static_cast<float>(sum));
  }
  return values;
}

inline std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}
inline std::vector<std::uint32_t> bits(const std::vector<float>& x) {
  std::vector<std::uint32_t> result;
  for (const float value : x) {
    result.push_back(bits(value));
  }
  return result;
}

// Every kind of weight spec there is: widths 2 to 8, grids, zero points, strategies, scale types.
inline std::vector<QuantSpec> weight_specs() {
  std::vector<QuantSpec> specs;
  for (std::int64_t width = 2; width <= 8; ++width) {
    for (const Strategy strategy : {Strategy::tensor, Strategy::channel, Strategy::group}) {
      for (const ScaleType type : {ScaleType::float32, ScaleType::float16, ScaleType::bfloat16}) {
        QuantSpecFields fields{.num_bits = width,
                               .strategy = strategy,
                               .group_size = strategy == Strategy::group ? 20 : 0,
                               .scale_dtype = type};
        specs.emplace_back(fields);
        fields.grid = Grid::half;
        specs.emplace_back(fields);
        fields.grid = Grid::integer;
        fields.symmetric = false;
        specs.emplace_back(fields);
      }
    }
  }
  return specs;
}

}  // namespace bitlaw::quant
