// A packed weight -> the tensors of compressed-tensors.
#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/restate.h"
#include "quant/containers/small_scales.h"

#include <algorithm>
#include <string>

namespace bitlaw::quant {

namespace {

using data::DType;

constexpr const char* kName = "compressed-tensors";

// The spec that the container would hold, and its format.
struct Target {
  CompressedFormat format;
  QuantSpec spec;
};

Target integer_target(const QuantSpec& from, const CompressedOptions& options) {
  QuantSpecFields fields = from.fields();
  if (fields.scale_dtype == ScaleType::e4m3) {
    throw NoExactForm("scales with a global scale belong to e2m1 in groups of 16 there");
  }
  if (fields.grid == Grid::half) {
    if (!options.widen || fields.num_bits == 8) {
      throw NoExactForm("its levels lie between the integers, and the zero points there are integers");
    }
    ++fields.num_bits;
    fields.grid = Grid::integer;
  }
  fields.type = NumberType::integer;
  fields.scale_dtype = ScaleType::float32;
  fields.zero_point_dtype = ZeroPointType::int8;
  const bool plain = fields.num_bits == 8 && (options.quantised_inputs || fields.strategy == Strategy::block);
  return {plain ? CompressedFormat::int_quantized : CompressedFormat::pack_quantized, QuantSpec(fields)};
}

Target floating_target(const QuantSpec& from) {
  QuantSpecFields fields = from.fields();
  if (!fields.symmetric) {
    throw NoExactForm("negative values with a scale of their own are unknown there");
  }
  const bool blocks_of_32 = fields.strategy == Strategy::group && fields.group_size == 32;
  const bool two_levels = fields.scale_dtype == ScaleType::e4m3;
  if (fields.format == FloatFormat::e2m1 && two_levels && fields.group_size == 16) {
    return {CompressedFormat::nvfp4_pack_quantized, from};
  }
  if (fields.format == FloatFormat::e4m3 && !two_levels && fields.scale_dtype != ScaleType::e8m0) {
    fields.scale_dtype = ScaleType::float32;
    return {CompressedFormat::float_quantized, QuantSpec(fields)};
  }
  if (two_levels || !blocks_of_32) {
    throw NoExactForm("floating-point weights there are e4m3, NVFP4, MXFP4, MXFP6 (e2m3) and MXFP8 (e4m3)");
  }
  fields.scale_dtype = ScaleType::e8m0;
  switch (*fields.format) {
    case FloatFormat::e2m1:
      return {CompressedFormat::mxfp4_pack_quantized, QuantSpec(fields)};
    case FloatFormat::e2m3:
      return {CompressedFormat::mxfp6_pack_quantized, QuantSpec(fields)};
    case FloatFormat::e4m3:
      return {CompressedFormat::mxfp8_quantized, QuantSpec(fields)};
    default:
      throw NoExactForm("floating-point weights there are e4m3, NVFP4, MXFP4, MXFP6 (e2m3) and MXFP8 (e4m3)");
  }
}

Target target_of(const QuantSpec& from, const CompressedOptions& options) {
  switch (from.fields().type) {
    case NumberType::integer:
    case NumberType::ternary:
      return integer_target(from, options);
    case NumberType::floating:
      return floating_target(from);
    case NumberType::quantile:
      break;
  }
  throw NoExactForm("tables of quantiles are unknown there");
}

std::vector<std::int64_t> scale_shape(const PackedTensor& packed) {
  if (packed.spec.fields().strategy == Strategy::tensor) {
    return {1};
  }
  return {packed.spec.scale_rows(packed.out_features), packed.spec.groups(packed.in_features)};
}

std::vector<std::int64_t> weight_shape(const PackedTensor& packed) {
  return {packed.out_features, packed.in_features};
}

void put_packed_zero_points(const PackedTensor& packed, WordLayout layout, Members& members) {
  const int bits = packed.spec.bits();
  const auto groups = static_cast<std::size_t>(packed.spec.groups(packed.in_features));
  std::vector<std::uint8_t> codes;
  for (const std::int8_t zero_point : packed.zero_point) {
    codes.push_back(static_cast<std::uint8_t>(zero_point + (1 << (bits - 1))));
  }
  const auto rows = static_cast<std::size_t>(packed.out_features);
  const std::vector<std::uint32_t> words =
      pack_matrix(transposed<std::uint8_t>(codes, groups), rows, bits, layout);
  const std::size_t width = words_of_row(rows, bits, layout);
  members["weight_zero_point"] =
      raw_tensor(DType::int32, {static_cast<std::int64_t>(width), static_cast<std::int64_t>(groups)},
                 transposed<std::uint32_t>(words, width));
}

void put_zero_points(const PackedTensor& packed, const Target& target, WordLayout layout, Members& members) {
  if (packed.zero_point.empty()) {
    return;
  }
  const Strategy strategy = packed.spec.fields().strategy;
  const bool by_row = strategy == Strategy::group || strategy == Strategy::channel;
  if (target.format == CompressedFormat::pack_quantized && by_row) {
    put_packed_zero_points(packed, layout, members);
  } else {
    members["weight_zero_point"] = raw_tensor(DType::int8, scale_shape(packed), packed.zero_point);
  }
}

void put_integers(const PackedTensor& packed, const Target& target, WordLayout layout, Members& members) {
  std::vector<std::uint8_t> codes = unpack(packed);
  if (target.format == CompressedFormat::pack_quantized) {
    const auto columns = static_cast<std::size_t>(packed.in_features);
    const auto width = static_cast<std::int64_t>(words_of_row(columns, packed.spec.bits(), layout));
    members["weight_packed"] = raw_tensor(DType::int32, {packed.out_features, width},
                                          pack_matrix(codes, columns, packed.spec.bits(), layout));
    members["weight_shape"] = raw_tensor(DType::int64, {2}, weight_shape(packed));
  } else {
    for (std::uint8_t& code : codes) {
      code = static_cast<std::uint8_t>(code - 128);  // two's complement of q: 8 bits only
    }
    members["weight"] = raw_tensor(DType::int8, weight_shape(packed), codes);
  }
  members["weight_scale"] = raw_tensor(DType::float32, scale_shape(packed), packed.scale);
  put_zero_points(packed, target, layout, members);
  if (!packed.group_index.empty()) {
    members["weight_g_idx"] = raw_tensor(DType::int32, {packed.in_features}, packed.group_index);
  }
}

void put_floats(const PackedTensor& packed, const Target& target, Members& members) {
  const int bits = packed.spec.bits();
  if (bits == 8) {
    members["weight"] = raw_tensor(DType::float8_e4m3fn, weight_shape(packed), unpack(packed));
  } else {  // rows of groups of 16 or 32 fill whole words, whose bytes are the packed bytes
    members["weight_packed"] =
        raw_tensor(DType::uint8, {packed.out_features, packed.in_features * bits / 8}, packed.codes);
  }
  if (target.format == CompressedFormat::float_quantized) {
    members["weight_scale"] = raw_tensor(DType::float32, scale_shape(packed), packed.scale);
  } else if (target.format == CompressedFormat::nvfp4_pack_quantized) {
    const std::optional<float> divisor = divisor_for(*packed.global_scale);
    if (!divisor) {
      throw NoExactForm(
          "scales are divided by the global scale there, and no divisor gives the bits of a product with " +
          std::to_string(*packed.global_scale));
    }
    members["weight_scale"] = raw_tensor(DType::float8_e4m3fn, scale_shape(packed), e4m3_bytes(packed.scale));
    members["weight_global_scale"] = raw_tensor(DType::float32, {1}, std::vector{*divisor});
  } else {
    members["weight_scale"] = raw_tensor(DType::uint8, scale_shape(packed), e8m0_bytes(packed.scale));
  }
}

}  // namespace

CompressedLayer to_compressed_tensors(const PackedTensor& packed, const CompressedOptions& options) {
  refuse_input_transform(packed, kName);
  const Target target = target_of(packed.spec, options);
  const PackedTensor restated = restate(packed, target.spec);
  if (!restated.group_index.empty() && options.layout == WordLayout::dense) {
    throw NoExactForm("its groups are of scattered inputs, which the package no longer reads");
  }
  if (!restated.group_index.empty() && target.format != CompressedFormat::pack_quantized) {
    throw NoExactForm("its groups are of scattered inputs, which only pack-quantized has");
  }
  CompressedLayer layer{target.format, target.spec, {}};
  if (target.spec.fields().type == NumberType::integer) {
    put_integers(restated, target, options.layout, layer.members);
  } else {
    put_floats(restated, target, layer.members);
  }
  return layer;
}

}  // namespace bitlaw::quant
