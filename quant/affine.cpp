// Scales, codes and values of quantised weights on plain spans.
#include "quant/affine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/block_format.h"
#include "quant/float_format.h"
#include "quant/kernels/absmax_scales.h"
#include "quant/scale_search.h"

namespace bitlaw::quant {

namespace {

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

// Positive x; a power of two and a half of it lie equally far from the next ones.
float round_to_power_of_two(float x) {
  const int exponent = floor_log2(x);
  const float significand = std::ldexp(x, -exponent);
  return std::ldexp(1.0F, std::clamp(significand >= 1.5F ? exponent + 1 : exponent, -127, 127));
}

void append(const GroupParameters& group, const QuantSpec& spec, AffineParameters& found) {
  found.scale.push_back(group.scale);
  if (spec.has_negative_scale()) {
    found.scale_negative.push_back(group.scale_negative);
  }
  if (spec.has_zero_point() && spec.fields().zero_point_dtype == ZeroPointType::int8) {
    found.zero_point.push_back(static_cast<std::int8_t>(group.zero_point));
  } else if (spec.has_zero_point()) {
    found.zero_point_real.push_back(group.zero_point);
  }
}

// Of groups that lie one after the other, by their extremes.
void append_absmax(std::span<const float> w, std::size_t width, const QuantSpec& spec, float global_scale,
                   AffineParameters& found) {
  const std::size_t groups = w.size() / width;
  found.scale.resize(groups);
  found.scale_negative.resize(spec.has_negative_scale() ? groups : 0);
  found.zero_point_real.resize(spec.has_zero_point() ? groups : 0);
  if (!absmax_scales(absmax_rule(spec, global_scale), w, width,
                     {found.scale, found.scale_negative, found.zero_point_real})) {
    throw_not_finite();
  }
  if (spec.fields().zero_point_dtype == ZeroPointType::int8) {
    found.zero_point.resize(found.zero_point_real.size());
    std::transform(found.zero_point_real.begin(), found.zero_point_real.end(), found.zero_point.begin(),
                   [](float zero_point) { return static_cast<std::int8_t>(zero_point); });
    found.zero_point_real.clear();
  }
}

struct Block {
  std::size_t row = 0;
  std::size_t column = 0;
  std::size_t height = 0;
  std::size_t width = 0;
};

// The elements of a block, one after the other.
void gather_block(std::span<const float> w, std::size_t in, const Block& block, std::vector<float>& into) {
  into.clear();
  for (std::size_t row = block.row; row < block.row + block.height; ++row) {
    const std::span<const float> part = w.subspan(row * in + block.column, block.width);
    into.insert(into.end(), part.begin(), part.end());
  }
}

}  // namespace

AffineParameters find_parameters(std::span<const float> w, std::int64_t out_features,
                                 std::int64_t in_features, const QuantSpec& spec, SearchOptions options) {
  if (static_cast<std::int64_t>(w.size()) != out_features * in_features) {
    throw data::InputError(std::to_string(w.size()) + " weights for shape [" + std::to_string(out_features) +
                               ", " + std::to_string(in_features) + "]",
                           "they do not fit", "check the layer");
  }
  const auto in = static_cast<std::size_t>(in_features);
  const auto height = static_cast<std::size_t>(spec.group_height(out_features));
  const auto width = static_cast<std::size_t>(spec.group_width(in_features));
  AffineParameters found;
  if (spec.has_global_scale()) {
    found.global_scale =
        options.global_scale ? *options.global_scale : global_scale_of_amax(amax_of(w), spec);
  }
  const float global_scale = found.global_scale.value_or(1.0F);
  const bool lie_together = height == 1 || width == in;  // the elements that share a scale
  if (lie_together && options.search == ScaleSearch::absmax && spec.fields().type != NumberType::ternary) {
    append_absmax(w, height * width, spec, global_scale, found);
    return found;
  }
  const std::size_t rows = static_cast<std::size_t>(out_features) / height;
  found.scale.reserve(rows * (in / width));
  if (lie_together) {
    for (const GroupParameters& group : find_groups(w, height * width, spec, options.search, global_scale)) {
      append(group, spec, found);
    }
    return found;
  }
  std::vector<float> gathered;
  for (std::size_t block = 0; block < rows * (in / width); ++block) {
    gather_block(w, in, {block / (in / width) * height, block % (in / width) * width, height, width},
                 gathered);
    append(find_group(gathered, spec, options.search, global_scale), spec, found);
  }
  return found;
}

float round_to(float value, ScaleType type) {
  if (!std::isfinite(value)) {
    return value;
  }
  switch (type) {
    case ScaleType::float16:
      return round_to_half(value);
    case ScaleType::bfloat16:
      return round_bits(value, 16);
    case ScaleType::e8m0:
      return value > 0.0F ? round_to_power_of_two(value) : 0.0F;
    case ScaleType::e4m3:
      return round_to_format(value, FloatFormat::e4m3);
    case ScaleType::float32:
      break;
  }
  return value;
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
