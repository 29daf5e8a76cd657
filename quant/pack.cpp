// Codes as a dense little-endian bitstream.
#include "quant/pack.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "data/formats/input_error.h"
#include "quant/kernels/pack_codes.h"
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

// Eight codes, one a byte, to 8 * bits bits without gaps: neighbours are joined, then pairs, then fours.
std::uint64_t gather_bits(std::uint64_t x, int bits) {
  const auto join = [&x](std::uint64_t low, int gap) { x = (x & low) | (x & ~low) >> gap; };
  join(0x00FF00FF00FF00FFU, 8 - bits);
  join(0x0000FFFF0000FFFFU, 16 - 2 * bits);
  join(0x00000000FFFFFFFFU, 32 - 4 * bits);
  return x;
}

// The way back; bits behind those of the eight codes are ignored.
std::uint64_t scatter_bits(std::uint64_t x, int bits) {
  const auto ones = [](int count) { return ~std::uint64_t{0} >> (64 - count); };
  const auto part = [&x](std::uint64_t low, std::uint64_t high, int gap) {
    x = (x & low) | (x & high) << gap;
  };
  part(ones(4 * bits), ones(4 * bits) << 4 * bits, 32 - 4 * bits);
  const std::uint64_t twos = ones(2 * bits) * 0x0000000100000001U;
  part(twos, twos << 2 * bits, 16 - 2 * bits);
  const std::uint64_t single = ones(bits) * 0x0001000100010001U;
  part(single, single << bits, 8 - bits);
  return x;
}

}  // namespace

std::int64_t packed_words(std::int64_t in_features, int bits) {
  return (in_features * bits + 31) / 32;
}

void pack_row(std::span<const std::uint8_t> codes, int bits, std::span<std::uint32_t> words) {
  const std::span<std::byte> bytes = std::as_writable_bytes(words);
  const std::size_t step = to_size(bits);  // bytes of eight codes
  std::size_t i = pack_first_codes(codes, bits, bytes);
  std::size_t at = i / 8 * step;
  for (; i + 8 <= codes.size() && at + 8 <= bytes.size(); i += 8, at += step) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, codes.data() + i, 8);
    eight = gather_bits(eight, bits);
    std::memcpy(bytes.data() + at, &eight, 8);  // zeros behind the codes are written over by the next ones
  }
  std::uint64_t pending = 0;  // bits that wait for a whole byte, lowest first
  int waiting = 0;
  for (; i < codes.size(); ++i) {
    pending |= std::uint64_t{codes[i]} << waiting;
    for (waiting += bits; waiting >= 8; waiting -= 8, pending >>= 8) {
      bytes[at++] = static_cast<std::byte>(pending);
    }
  }
  for (; at < bytes.size(); pending >>= 8) {
    bytes[at++] = static_cast<std::byte>(pending);
  }
}

void unpack_row(std::span<const std::uint32_t> words, int bits, std::span<std::uint8_t> codes) {
  const std::span<const std::byte> bytes = std::as_bytes(words);
  if (bits == 8) {
    std::memcpy(codes.data(), bytes.data(), codes.size());
    return;
  }
  const std::size_t step = to_size(bits);  // bytes of eight codes
  std::size_t i = 0;
  std::size_t at = 0;
  for (; i + 8 <= codes.size() && at + 8 <= bytes.size(); i += 8, at += step) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data() + at, 8);
    eight = scatter_bits(eight, bits);
    std::memcpy(codes.data() + i, &eight, 8);
  }
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::uint64_t pending = 0;
  int waiting = 0;
  for (; i < codes.size(); ++i, waiting -= bits, pending >>= bits) {
    if (waiting < bits) {
      pending |= std::to_integer<std::uint64_t>(bytes[at++]) << waiting;
      waiting += 8;
    }
    codes[i] = static_cast<std::uint8_t>(pending & mask);
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
