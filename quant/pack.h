// Codes as a dense little-endian bitstream: code i of a row occupies bits [i*b, (i+1)*b) of the row's uint32
// words, straddling words where b does not divide 32; the last word of a row is zero-filled. Unsigned codes
// 0..2^b-1. This is the layout of compressed-tensors since 0.18. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/spec.h"

namespace bitlaw::quant {

std::int64_t packed_words(std::int64_t in_features, int bits);  // words of one row
void pack_row(std::span<const std::uint8_t> codes, int bits, std::span<std::uint32_t> words);
void unpack_row(std::span<const std::uint32_t> words, int bits, std::span<std::uint8_t> codes);

// A quantised weight as it lies in files: the only thing containers and kernels see.
// w[o][i] = (q - zero_point + offset) * scale with q = code - 2^(bits-1), offset 0.5 on the half grid,
// computed as one float32 multiplication.
struct PackedTensor {
  QuantSpec spec{QuantSpecFields{}};
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  std::vector<std::uint32_t> codes;  // [out, packed_words(in)]
  std::vector<float> scale;          // [out, groups] (strategy tensor: [1, 1]); values exact in scale_dtype
  std::vector<std::int8_t> zero_point;  // like scale when asymmetric, else empty

  bool operator==(const PackedTensor&) const = default;
};

// InputError when extents, counts or zero points do not fit the spec.
void check_packed(const PackedTensor& packed);

// codes: uint8 [out, in]. InputError when sizes do not fit or a code is out of range.
PackedTensor pack(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features,
                  std::span<const std::uint8_t> codes, std::span<const float> scale,
                  std::span<const std::int8_t> zero_point);
std::vector<std::uint8_t> unpack(const PackedTensor& packed);  // [out, in]
std::vector<float> dequantise(const PackedTensor& packed);     // [out, in]

}  // namespace bitlaw::quant
