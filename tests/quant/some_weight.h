// A weight of any integer spec, its numbers a function of their positions. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "data/seed.h"
#include "quant/affine.h"
#include "quant/pack.h"

namespace bitlaw::quant {

constexpr std::int64_t kOut = 6;
constexpr std::int64_t kIn = 24;

inline PackedTensor some_weight(const QuantSpec& spec) {
  const std::size_t rows = spec.fields().strategy == Strategy::tensor ? 1 : kOut;
  const std::size_t count = rows * static_cast<std::size_t>(spec.groups(kIn));
  std::vector<std::uint8_t> codes(kOut * kIn);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::uint8_t>(data::philox({1, data::Purpose::synthetic, 0, 0}, i)[0] &
                                         ((1U << spec.bits()) - 1));
  }
  std::vector<float> scale(count);
  std::vector<std::int8_t> zero_point;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(data::uniform({2, data::Purpose::synthetic, 0, 0}, i));
    scale[i] = round_to(value + 0x1p-20F, spec.fields().scale_dtype);
    if (!spec.fields().symmetric) {
      zero_point.push_back(static_cast<std::int8_t>(spec.q_min() + static_cast<int>(i % 4)));
    }
  }
  return pack(spec, kOut, kIn, codes, scale, zero_point);
}

}  // namespace bitlaw::quant
