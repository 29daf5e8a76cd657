// One quantised layer as compressed-tensors stores it: named tensors, without the module's name in front.
//
//   format                members (shapes; g: groups of a row, G: of the scale's rows)
//   pack-quantized        weight_packed I32 [out, words], codes q + 2^(b-1), dense or one layout before 0.18;
//                         weight_scale [out, g] ([1] for strategy tensor); weight_shape I64 [2];
//                         weight_zero_point I32 [words of out, g], packed along out, only when asymmetric
//                         (int8 for strategies tensor and block); weight_g_idx I32 [in] for scattered groups
//   int-quantized         weight I8 [out, in]; weight_scale; weight_zero_point I8
//   float-quantized       weight F8_E4M3 [out, in]; weight_scale
//   nvfp4-pack-quantized  weight_packed U8 [out, in/2], even element in the low nibble; weight_scale F8_E4M3
//                         [out, in/16]; weight_global_scale F32 [1], a divisor of the scales
//   mxfp4-, mxfp6-pack-quantized  weight_packed U8 [out, in*b/8] (6 bits: e2m3), weight_scale U8 [out, in/32]
//   mxfp8-quantized       weight F8_E4M3 [out, in], weight_scale U8 [out, in/32]: exponent + 127
// Scales of integers and of float-quantized are written as float32 whatever their type: the package
// multiplies in the type of the scale, and only so are its weights ours to the bit. Source: the package,
// 0.20. Torch-free.
#pragma once

#include <optional>
#include <string_view>

#include "quant/containers/bit_matrix.h"
#include "quant/containers/members.h"
#include "quant/pack.h"

namespace bitlaw::quant {

enum class CompressedFormat {
  pack_quantized,
  int_quantized,
  float_quantized,
  nvfp4_pack_quantized,
  mxfp4_pack_quantized,
  mxfp6_pack_quantized,
  mxfp8_quantized
};

struct CompressedOptions {
  WordLayout layout = WordLayout::dense;
  bool widen = false;  // more bits than the spec has, where that is exact
  bool quantised_inputs =
      false;  // the layer's input is quantised to integers: 8-bit weights are stored plain
};

struct CompressedLayer {
  CompressedFormat format = CompressedFormat::pack_quantized;
  QuantSpec spec{QuantSpecFields{}};  // as the container sees it
  Members members;
};

// NoExactForm (restate.h) when no format holds just these weights.
CompressedLayer to_compressed_tensors(const PackedTensor& packed, const CompressedOptions& options);

// `spec` as the configuration states it; the type of its scales is that of the tensor. `layout` is what the
// file's version says; it is believed where the number of words does not tell. InputError for members that
// do not fit, and for a layout that cannot be known.
PackedTensor from_compressed_tensors(const Members& members, const QuantSpec& spec, CompressedFormat format,
                                     std::optional<WordLayout> layout);

}  // namespace bitlaw::quant

template <>
struct bitlaw::data::EnumNames<bitlaw::quant::CompressedFormat> {
  static constexpr std::string_view names[] = {
      "pack-quantized",       "int-quantized",        "float-quantized", "nvfp4-pack-quantized",
      "mxfp4-pack-quantized", "mxfp6-pack-quantized", "mxfp8-quantized"};
};
