// What must hold of a packed tensor.
#include "quant/pack_check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/levels.h"

namespace bitlaw::quant {

namespace {

using data::InputError;

constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;

void check_count(const char* what, std::size_t found, std::int64_t wanted) {
  if (found != static_cast<std::size_t>(wanted)) {
    throw InputError(std::to_string(found) + " " + what + " instead of " + std::to_string(wanted),
                     "they do not fit the shape", "make the tensor again");
  }
}

void check_zero_points(const PackedTensor& packed, std::int64_t scales) {
  const bool present = packed.spec.has_zero_point();
  const bool real = packed.spec.has_real_zero_point();
  check_count("zero points", packed.zero_point.size(), present && !real ? scales : 0);
  check_count("real zero points", packed.zero_point_real.size(), present && real ? scales : 0);
  const int q_min = packed.spec.q_min();
  const int q_max = packed.spec.q_max();
  for (const std::int8_t zero_point : packed.zero_point) {
    if (zero_point < q_min || zero_point > q_max) {
      throw InputError("zero point " + std::to_string(zero_point),
                       "it is a level of " + packed.spec.to_string(), "make the tensor again");
    }
  }
  for (const float zero_point : packed.zero_point_real) {
    if (!std::isfinite(zero_point) || round_to(zero_point, ScaleType::float16) != zero_point) {
      throw InputError("zero point " + std::to_string(zero_point), "it is no finite float16",
                       "make the tensor again");
    }
  }
}

void check_scales(const PackedTensor& packed, std::int64_t scales) {
  check_count("scales", packed.scale.size(), scales);
  check_count("negative scales", packed.scale_negative.size(), packed.spec.has_negative_scale() ? scales : 0);
  if (packed.global_scale.has_value() != packed.spec.has_global_scale()) {
    throw InputError(std::string("a global scale ") + (packed.global_scale ? "with " : "is missing for ") +
                         packed.spec.to_string(),
                     "scale_dtype: e4m3 has one, other types have none", "make the tensor again");
  }
  if (packed.global_scale && !(std::isfinite(*packed.global_scale) && *packed.global_scale > 0.0F)) {
    throw InputError("a global scale of " + std::to_string(*packed.global_scale), "it is positive and finite",
                     "make the tensor again");
  }
}

void check_input_transform(const PackedTensor& packed) {
  if (!packed.input_multiplier.empty()) {
    check_count("input multipliers", packed.input_multiplier.size(), packed.in_features);
  }
  for (const float factor : packed.input_multiplier) {
    if (!std::isfinite(factor) || factor == 0.0F) {
      throw InputError("input multiplier " + std::to_string(factor), "it is finite and not zero",
                       "make the tensor again");
    }
  }
  const std::int64_t block = packed.hadamard_block;
  if (block < 0 || (block > 0 && (!std::has_single_bit(static_cast<std::uint64_t>(block)) ||
                                  packed.in_features % block != 0))) {
    throw InputError(
        "hadamard_block " + std::to_string(block) + " with " + std::to_string(packed.in_features) + " inputs",
        "a block is a power of two that divides the inputs", "make the tensor again");
  }
}

// Codes without a level.
std::vector<std::uint8_t> unused_codes(std::span<const float> levels) {
  std::vector<std::uint8_t> unused;
  for (std::size_t code = 0; code < levels.size(); ++code) {
    if (std::isnan(levels[code])) {
      unused.push_back(static_cast<std::uint8_t>(code));
    }
  }
  return unused;
}

// Without a branch, so that vectors do it: this is part of every export.
bool holds(std::span<const std::uint8_t> codes, std::uint8_t wanted) {
  std::uint8_t found = 0;
  for (const std::uint8_t code : codes) {
    found |= code == wanted ? std::uint8_t{1} : std::uint8_t{0};
  }
  return found != 0;
}

void check_unused(const QuantSpec& spec, std::span<const std::uint8_t> unused,
                  std::span<const std::uint8_t> codes) {
  for (const std::uint8_t code : unused) {
    if (holds(codes, code)) {
      throw InputError("code " + std::to_string(code), "it is no number of " + spec.to_string(),
                       "make the codes again");
    }
  }
}

// Codes that are packed already: row by row, where there are codes without a level.
void check_packed_codes(const PackedTensor& packed) {
  const std::vector<std::uint8_t> unused = unused_codes(levels_of(packed.spec));
  if (unused.empty()) {
    return;
  }
  const auto words = static_cast<std::size_t>(packed_words(packed.in_features, packed.spec.bits()));
  std::vector<std::uint8_t> row(static_cast<std::size_t>(packed.in_features));
  for (std::size_t begin = 0; begin < packed.codes.size(); begin += words) {
    unpack_row(std::span(packed.codes).subspan(begin, words), packed.spec.bits(), row);
    check_unused(packed.spec, unused, row);
  }
}

}  // namespace

void check_extents(const PackedTensor& packed) {
  for (const std::int64_t extent : {packed.out_features, packed.in_features}) {
    if (extent < 1 || extent > kLargestExtent) {
      throw InputError("a quantised weight of shape [" + std::to_string(packed.out_features) + ", " +
                           std::to_string(packed.in_features) + "]",
                       "both extents are 1 to 2^31", "check the file or the layer");
    }
  }
  if (packed.spec.fields().strategy == Strategy::token) {
    throw InputError("a quantised weight with strategy: token", "a weight has no tokens",
                     "use tensor, channel, group or block");
  }
}

void check_codes(const QuantSpec& spec, std::span<const std::uint8_t> codes) {
  const std::span<const float> levels = levels_of(spec);
  std::uint8_t largest = 0;
  for (const std::uint8_t code : codes) {
    largest = std::max(largest, code);
  }
  if (largest >= levels.size()) {
    throw InputError("code " + std::to_string(largest),
                     "codes of " + spec.to_string() + " are below " + std::to_string(levels.size()),
                     "make the codes again");
  }
  check_unused(spec, unused_codes(levels), codes);
}

void check_group_index(const QuantSpec& spec, std::int64_t in_features,
                       std::span<const std::int32_t> group_index) {
  if (spec.fields().strategy != Strategy::group) {
    throw InputError("groups of scattered inputs with " + spec.to_string(), "only strategy: group has groups",
                     "make the tensor again");
  }
  check_count("group indices", group_index.size(), in_features);
  std::vector<std::int64_t> members(static_cast<std::size_t>(spec.groups(in_features)));
  for (const std::int32_t group : group_index) {
    if (group < 0 || static_cast<std::size_t>(group) >= members.size()) {
      throw InputError("group index " + std::to_string(group),
                       "there are " + std::to_string(members.size()) + " groups", "make the tensor again");
    }
    ++members[static_cast<std::size_t>(group)];
  }
  const std::int64_t wanted = spec.fields().group_size;
  const auto odd = std::find_if(members.begin(), members.end(), [&](auto count) { return count != wanted; });
  if (odd != members.end()) {
    throw InputError("a group of " + std::to_string(*odd) + " scattered inputs",
                     "each group has " + std::to_string(wanted), "make the tensor again");
  }
}

void check_packed(const PackedTensor& packed) {
  check_extents(packed);
  const std::int64_t scales =
      packed.spec.scale_rows(packed.out_features) * packed.spec.groups(packed.in_features);
  check_count("code words", packed.codes.size(),
              packed.out_features * packed_words(packed.in_features, packed.spec.bits()));
  check_scales(packed, scales);
  check_zero_points(packed, scales);
  if (!packed.group_index.empty()) {
    check_group_index(packed.spec, packed.in_features, packed.group_index);
  }
  check_input_transform(packed);
  check_packed_codes(packed);
}

}  // namespace bitlaw::quant
