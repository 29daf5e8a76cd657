// Codes as a dense little-endian bitstream: code i of a row occupies bits [i*b, (i+1)*b) of the row's uint32
// words, straddling words where b does not divide 32; the last word of a row is zero-filled. Unsigned codes
// 0..2^b-1. This is the layout of compressed-tensors since 0.18. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quant/spec.h"

namespace bitlaw::quant {

std::int64_t packed_words(std::int64_t in_features, int bits);  // words of one row
void pack_row(std::span<const std::uint8_t> codes, int bits, std::span<std::uint32_t> words);
void unpack_row(std::span<const std::uint32_t> words, int bits, std::span<std::uint8_t> codes);

// A quantised weight as it lies in files: the only thing containers and kernels see.
//
//   w[o][i] = (level(code) - zero point) * s        computed in float32, s: scale of row o and group of input
//   i
// level: quant/levels.h. s is `scale`; for levels with the sign bit set (-0 included) `scale_negative`, where
// there is one; the float32 product scale * global_scale, where there is one. These are the weights that the
// input meets after its transform: first the multiplier, then the rotation.
struct PackedTensor {
  QuantSpec spec{QuantSpecFields{}};
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  std::vector<std::uint32_t> codes;  // [out, packed_words(in)]
  std::vector<float> scale;  // [scale_rows(out), groups(in)] of the spec; positive, exact in scale_dtype
  std::vector<std::int8_t> zero_point;  // like scale: asymmetric integers, zero_point_dtype int8
  std::vector<float>
      zero_point_real;  // like scale: asymmetric integers, zero_point_dtype float16, exact in it
  std::vector<float> scale_negative;  // like scale: floating and quantile, asymmetric
  std::optional<float> global_scale;  // scale_dtype e4m3: multiplies every scale
  std::vector<std::int32_t>
      group_index;  // [in] group of input i, each group group_size times; empty: i / group_size
  std::vector<float> input_multiplier;  // [in] x is multiplied by it before the product; empty: none
  std::int64_t hadamard_block = 0;  // > 0: x is then rotated by an orthonormal Walsh-Hadamard matrix (power
                                    // of two) in blocks of that many inputs

  bool operator==(const PackedTensor&) const = default;
};

// InputError when extents, counts, zero points, codes or optional members do not fit the spec.
void check_packed(const PackedTensor& packed);

// codes: uint8 [out, in]. InputError when sizes do not fit or a code is no level.
PackedTensor pack(PackedTensor without_codes, std::span<const std::uint8_t> codes);
PackedTensor pack(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features,
                  std::span<const std::uint8_t> codes, std::span<const float> scale,
                  std::span<const std::int8_t> zero_point);
std::vector<std::uint8_t> unpack(const PackedTensor& packed);  // [out, in]
std::vector<float> dequantise(const PackedTensor& packed);     // [out, in]

// float32(scale * global_scale), or scale where there is no global scale: [scale_rows, groups].
std::vector<float> effective_scales(const PackedTensor& packed);

}  // namespace bitlaw::quant
