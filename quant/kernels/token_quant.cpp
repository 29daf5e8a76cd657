#include "quant/kernels/token_quant.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "quant/affine.h"
#include "quant/kernels/fake_quant_math.h"
#include "quant/learned_scale.h"

namespace bitlaw::quant {

namespace {

float to_float(float x) {
  return x;
}
float to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

void store(float x, float& into) {
  into = x;
}
void store(float x, std::uint16_t& into) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  into =
      x != x ? std::uint16_t{0x7FC0} : static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

GroupConstants constants_of(const QuantSpec& spec, float lowest, float highest) {
  const auto steps = static_cast<float>(spec.q_max() - spec.q_min());
  const auto q_min = static_cast<float>(spec.q_min());
  const auto q_max = static_cast<float>(spec.q_max());
  const auto offset = static_cast<float>(spec.level_offset());
  if (spec.fields().symmetric) {
    const float scale =
        storable_scale(std::max(-lowest, highest) / (steps / 2.0F), spec.fields().scale_dtype);
    return {scale, 0.0F - offset, offset, q_min, q_max};
  }
  const float scale = storable_scale((highest - lowest) / steps, spec.fields().scale_dtype);
  const float zero_point = std::clamp(std::nearbyint(q_min - lowest / scale), q_min, q_max);
  return {scale, zero_point, 0.0F - zero_point, q_min, q_max};
}

template <class Value>
void quantise_rows(const QuantSpec& spec, const Value* x, std::int64_t width, Value* into, RowRange rows) {
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const Value* from = x + row * width;
    float lowest = 0.0F;
    float highest = 0.0F;
    for (std::int64_t i = 0; i < width; ++i) {
      lowest = std::min(lowest, to_float(from[i]));
      highest = std::max(highest, to_float(from[i]));
    }
    const GroupConstants group = constants_of(spec, lowest, highest);
    for (std::int64_t i = 0; i < width; ++i) {
      store(value_of(locate(to_float(from[i]), group), group), into[row * width + i]);
    }
  }
}

}  // namespace

void fake_quantise_tokens(const QuantSpec& spec, const float* x, std::int64_t width, float* into,
                          RowRange rows) {
  quantise_rows(spec, x, width, into, rows);
}

void fake_quantise_tokens(const QuantSpec& spec, const std::uint16_t* x, std::int64_t width,
                          std::uint16_t* into, RowRange rows) {
  quantise_rows(spec, x, width, into, rows);
}

}  // namespace bitlaw::quant
