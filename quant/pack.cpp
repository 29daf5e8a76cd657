// Codes as a dense little-endian bitstream.
#include "quant/pack.h"

#include <bit>
#include <cmath>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/levels.h"
#include "quant/pack_check.h"

namespace bitlaw::quant {

namespace {

static_assert(std::endian::native == std::endian::little, "words are stored as they lie in memory");

std::size_t to_size(std::int64_t x) {
  return static_cast<std::size_t>(x);
}

float zero_point_of(const PackedTensor& packed, std::size_t shared) {
  if (!packed.zero_point_real.empty()) {
    return packed.zero_point_real[shared];
  }
  return packed.zero_point.empty() ? 0.0F : static_cast<float>(packed.zero_point[shared]);
}

}  // namespace

std::int64_t packed_words(std::int64_t in_features, int bits) {
  return (in_features * bits + 31) / 32;
}

void pack_row(std::span<const std::uint8_t> codes, int bits, std::span<std::uint32_t> words) {
  std::uint64_t pending = 0;  // bits that wait for a whole word, lowest first
  int waiting = 0;
  auto word = words.begin();
  for (const std::uint8_t code : codes) {
    pending |= std::uint64_t{code} << waiting;
    waiting += bits;
    if (waiting >= 32) {
      *word++ = static_cast<std::uint32_t>(pending);
      pending >>= 32;
      waiting -= 32;
    }
  }
  if (waiting > 0) {
    *word = static_cast<std::uint32_t>(pending);
  }
}

void unpack_row(std::span<const std::uint32_t> words, int bits, std::span<std::uint8_t> codes) {
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::uint64_t pending = 0;
  int waiting = 0;
  auto word = words.begin();
  for (std::uint8_t& code : codes) {
    if (waiting < bits) {
      pending |= std::uint64_t{*word++} << waiting;
      waiting += 32;
    }
    code = static_cast<std::uint8_t>(pending & mask);
    pending >>= bits;
    waiting -= bits;
  }
}

PackedTensor pack(PackedTensor without_codes, std::span<const std::uint8_t> codes) {
  PackedTensor packed = std::move(without_codes);
  check_extents(packed);
  if (codes.size() != to_size(packed.out_features * packed.in_features)) {
    throw data::InputError(std::to_string(codes.size()) + " codes instead of " +
                               std::to_string(packed.out_features * packed.in_features),
                           "they do not fit the shape", "make the tensor again");
  }
  check_codes(packed.spec, codes);
  const int bits = packed.spec.bits();
  const std::size_t in = to_size(packed.in_features);
  const std::size_t words = to_size(packed_words(packed.in_features, bits));
  packed.codes.assign(to_size(packed.out_features) * words, 0);
  for (std::size_t row = 0; row < to_size(packed.out_features); ++row) {
    pack_row(codes.subspan(row * in, in), bits, std::span(packed.codes).subspan(row * words, words));
  }
  check_packed(packed);
  return packed;
}

PackedTensor pack(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features,
                  std::span<const std::uint8_t> codes, std::span<const float> scale,
                  std::span<const std::int8_t> zero_point) {
  PackedTensor packed;
  packed.spec = spec;
  packed.out_features = out_features;
  packed.in_features = in_features;
  packed.scale.assign(scale.begin(), scale.end());
  packed.zero_point.assign(zero_point.begin(), zero_point.end());
  return pack(std::move(packed), codes);
}

std::vector<std::uint8_t> unpack(const PackedTensor& packed) {
  check_packed(packed);
  const std::size_t in = to_size(packed.in_features);
  const std::size_t words = to_size(packed_words(packed.in_features, packed.spec.bits()));
  std::vector<std::uint8_t> codes(to_size(packed.out_features) * in);
  for (std::size_t row = 0; row < to_size(packed.out_features); ++row) {
    unpack_row(std::span(packed.codes).subspan(row * words, words), packed.spec.bits(),
               std::span(codes).subspan(row * in, in));
  }
  return codes;
}

std::vector<float> effective_scales(const PackedTensor& packed) {
  std::vector<float> scales = packed.scale;
  if (packed.global_scale) {
    for (float& scale : scales) {
      scale *= *packed.global_scale;
    }
  }
  return scales;
}

std::vector<float> dequantise(const PackedTensor& packed) {
  const std::vector<std::uint8_t> codes = unpack(packed);
  const std::vector<float> scales = effective_scales(packed);
  const std::span<const float> levels = levels_of(packed.spec);
  const std::size_t in = to_size(packed.in_features);
  const std::size_t groups = to_size(packed.spec.groups(packed.in_features));
  const std::size_t width = to_size(packed.spec.group_width(packed.in_features));
  const std::size_t height = to_size(packed.spec.group_height(packed.out_features));
  std::vector<float> values(codes.size());
  for (std::size_t row = 0; row < to_size(packed.out_features); ++row) {
    for (std::size_t i = 0; i < in; ++i) {
      const std::size_t group = packed.group_index.empty() ? i / width : to_size(packed.group_index[i]);
      const std::size_t shared = row / height * groups + group;
      const float level = levels[codes[row * in + i]];
      const bool other = !packed.scale_negative.empty() && std::signbit(level);
      values[row * in + i] =
          (level - zero_point_of(packed, shared)) * (other ? packed.scale_negative[shared] : scales[shared]);
    }
  }
  return values;
}

}  // namespace bitlaw::quant
