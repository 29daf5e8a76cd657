// Codes as a dense little-endian bitstream.
#include "quant/pack.h"

#include <algorithm>
#include <bit>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

namespace {

using data::InputError;

static_assert(std::endian::native == std::endian::little, "words are stored as they lie in memory");

constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;

std::size_t to_size(std::int64_t x) {
  return static_cast<std::size_t>(x);
}

void check_count(const char* what, std::size_t found, std::int64_t wanted) {
  if (found != to_size(wanted)) {
    throw InputError(std::to_string(found) + " " + what + " instead of " + std::to_string(wanted),
                     "they do not fit the shape", "make the tensor again");
  }
}

std::int64_t scale_count(const PackedTensor& packed) {
  const bool one_row = packed.spec.fields().strategy == Strategy::tensor;
  return (one_row ? 1 : packed.out_features) * packed.spec.groups(packed.in_features);
}

void check_shape(const PackedTensor& packed) {
  for (const std::int64_t extent : {packed.out_features, packed.in_features}) {
    if (extent < 1 || extent > kLargestExtent) {
      throw InputError("a quantised weight of shape [" + std::to_string(packed.out_features) + ", " +
                           std::to_string(packed.in_features) + "]",
                       "both extents are 1 to 2^31", "check the file or the layer");
    }
  }
  if (packed.spec.fields().strategy == Strategy::token) {
    throw InputError("a quantised weight with strategy: token", "a weight has no tokens",
                     "use tensor, channel or group");
  }
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

void check_packed(const PackedTensor& packed) {
  check_shape(packed);
  const std::int64_t words = packed_words(packed.in_features, packed.spec.bits());
  check_count("code words", packed.codes.size(), packed.out_features * words);
  check_count("scales", packed.scale.size(), scale_count(packed));
  check_count("zero points", packed.zero_point.size(),
              packed.spec.fields().symmetric ? 0 : scale_count(packed));
  for (const std::int8_t zero_point : packed.zero_point) {
    if (zero_point < packed.spec.q_min() || zero_point > packed.spec.q_max()) {
      throw InputError("zero point " + std::to_string(zero_point),
                       "it is a level of " + packed.spec.to_string(), "make the tensor again");
    }
  }
}

PackedTensor pack(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features,
                  std::span<const std::uint8_t> codes, std::span<const float> scale,
                  std::span<const std::int8_t> zero_point) {
  PackedTensor packed{spec,
                      out_features,
                      in_features,
                      {},
                      {scale.begin(), scale.end()},
                      {zero_point.begin(), zero_point.end()}};
  check_shape(packed);
  check_count("codes", codes.size(), out_features * in_features);
  const auto largest = std::max_element(codes.begin(), codes.end());
  if (*largest >= 1U << spec.bits()) {
    throw InputError("code " + std::to_string(*largest),
                     "codes of " + spec.to_string() + " are below " + std::to_string(1U << spec.bits()),
                     "make the codes again");
  }
  const std::size_t words = to_size(packed_words(in_features, spec.bits()));
  packed.codes.resize(to_size(out_features) * words);
  for (std::size_t row = 0; row < to_size(out_features); ++row) {
    pack_row(codes.subspan(row * to_size(in_features), to_size(in_features)), spec.bits(),
             std::span(packed.codes).subspan(row * words, words));
  }
  check_packed(packed);
  return packed;
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

std::vector<float> dequantise(const PackedTensor& packed) {
  const std::vector<std::uint8_t> codes = unpack(packed);
  const std::size_t width = to_size(packed.spec.group_width(packed.in_features));
  const bool one_scale = packed.spec.fields().strategy == Strategy::tensor;
  const auto offset = static_cast<float>(packed.spec.level_offset());
  std::vector<float> values(codes.size());
  for (std::size_t begin = 0; begin < codes.size(); begin += width) {
    const std::size_t group = one_scale ? 0 : begin / width;
    const float scale = packed.scale[group];
    const int zero_code = (packed.zero_point.empty() ? 0 : packed.zero_point[group]) - packed.spec.q_min();
    for (std::size_t i = begin; i < begin + width; ++i) {
      values[i] = (static_cast<float>(codes[i] - zero_code) + offset) * scale;
    }
  }
  return values;
}

}  // namespace bitlaw::quant
