// Weights of every kind of spec, from counter-based random numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "data/seed.h"
#include "quant/affine.h"
#include "quant/containers/small_scales.h"
#include "quant/float_format.h"
#include "quant/levels.h"
#include "quant/pack.h"

namespace bitlaw::tests {

inline std::uint32_t random_bits(std::uint64_t stream, std::uint64_t index) {
  return data::philox({stream, data::Purpose::synthetic, 0, 0}, index)[0];
}

inline std::vector<std::uint8_t> random_codes(const quant::QuantSpec& spec, std::size_t count) {
  const auto levels = quant::levels_of(spec);
  std::vector<std::uint8_t> codes(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto code = random_bits(1, i) & (static_cast<std::uint32_t>(levels.size()) - 1);
    while (std::isnan(levels[code])) {  // no number of the format
      code = (code + 1) % static_cast<std::uint32_t>(levels.size());
    }
    codes[i] = static_cast<std::uint8_t>(code);
  }
  return codes;
}

// Positive, exact in the type, of ordinary size.
inline float random_scale(quant::ScaleType type, std::uint64_t stream, std::uint64_t index) {
  const auto value = static_cast<float>(data::uniform({stream, data::Purpose::synthetic, 0, 0}, index));
  switch (type) {
    case quant::ScaleType::e8m0:
      return std::ldexp(1.0F, static_cast<int>(random_bits(stream, index) % 12) - 8);
    case quant::ScaleType::e4m3:
      return quant::round_to_format(1.0F + 400.0F * value, quant::FloatFormat::e4m3);
    default:
      return quant::round_to(0.01F + value, type);
  }
}

// Zero points run from q_min + 1 to q_max: q_min + 1 is a stored zero of 1, which every container has.
inline quant::PackedTensor sample_weight(const quant::QuantSpec& spec, std::int64_t out, std::int64_t in) {
  quant::PackedTensor packed;
  packed.spec = spec;
  packed.out_features = out;
  packed.in_features = in;
  const auto count = static_cast<std::uint64_t>(spec.scale_rows(out) * spec.groups(in));
  const bool real = spec.fields().zero_point_dtype == quant::ZeroPointType::float16;
  for (std::uint64_t i = 0; i < count; ++i) {
    packed.scale.push_back(random_scale(spec.fields().scale_dtype, 2, i));
    if (spec.has_negative_scale()) {
      packed.scale_negative.push_back(random_scale(spec.fields().scale_dtype, 3, i));
    }
    if (spec.has_zero_point() && real) {
      packed.zero_point_real.push_back(static_cast<float>(i % 5) - 1.75F);
    } else if (spec.has_zero_point()) {
      const int levels = spec.q_max() - spec.q_min();
      packed.zero_point.push_back(static_cast<std::int8_t>(spec.q_min() + 1 + static_cast<int>(i) % levels));
    }
  }
  if (spec.has_global_scale()) {
    packed.global_scale = 0x1p-9F;
  }
  return quant::pack(std::move(packed), random_codes(spec, static_cast<std::size_t>(out * in)));
}

inline quant::PackedTensor sample_weight(const std::string& spec, std::int64_t out, std::int64_t in) {
  return sample_weight(quant::QuantSpec::parse(spec), out, in);
}

// Groups of scattered inputs: input i belongs to group i mod groups.
inline quant::PackedTensor scattered(quant::PackedTensor packed) {
  const std::int64_t groups = packed.spec.groups(packed.in_features);
  for (std::int64_t i = 0; i < packed.in_features; ++i) {
    packed.group_index.push_back(static_cast<std::int32_t>(i % groups));
  }
  return packed;
}

}  // namespace bitlaw::tests
