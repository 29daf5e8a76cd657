#include "quant/containers/awq_layer.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "quant/containers/bit_matrix.h"
#include "quant/containers/restate.h"
#include "quant/containers/scale_bytes.h"

namespace bitlaw::quant {

namespace {

using data::DType;

constexpr int kBits = 4;
constexpr int kMiddle = 8;
constexpr std::size_t kInWord = 8;
constexpr std::array<std::size_t, kInWord> kOrder = {0, 2, 4, 6, 1, 3, 5, 7};

// Numbers below 16 of whole words, put in the order of their nibbles, and back.
std::vector<std::uint8_t> interleaved(std::span<const std::uint8_t> values) {
  std::vector<std::uint8_t> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    result[i] = values[i / kInWord * kInWord + kOrder[i % kInWord]];
  }
  return result;
}
std::vector<std::uint8_t> straightened(std::span<const std::uint8_t> values) {
  std::vector<std::uint8_t> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    result[i / kInWord * kInWord + kOrder[i % kInWord]] = values[i];
  }
  return result;
}

QuantSpec target_of(const PackedTensor& packed, const AwqOptions& options) {
  QuantSpecFields fields = packed.spec.fields();
  if (fields.type != NumberType::integer && fields.type != NumberType::ternary) {
    throw NoExactForm("its levels are no integers");
  }
  if (fields.scale_dtype == ScaleType::e4m3) {
    throw NoExactForm("a scale of scales is unknown there");
  }
  if (fields.grid == Grid::half && !options.widen) {
    throw NoExactForm("its levels lie between the integers, and the zero points there are integers");
  }
  const std::int64_t needed = fields.num_bits + (fields.grid == Grid::half ? 1 : 0);
  if (needed > kBits || (needed < kBits && !options.widen)) {
    throw NoExactForm("codes there have 4 bits, not " + std::to_string(needed));
  }
  const bool one_group = options.group_size == -1;
  fields.num_bits = kBits;
  fields.type = NumberType::integer;
  fields.grid = Grid::integer;
  fields.scale_dtype = ScaleType::float16;
  fields.zero_point_dtype = ZeroPointType::int8;
  fields.strategy = one_group ? Strategy::channel : Strategy::group;
  fields.group_size = one_group ? 0 : options.group_size;
  fields.block_structure.clear();
  return QuantSpec(fields);
}

void check_extents(const PackedTensor& packed) {
  if (packed.out_features % static_cast<std::int64_t>(kInWord) != 0) {
    throw NoExactForm("its " + std::to_string(packed.out_features) + " outputs do not fill words of eight");
  }
}

std::vector<std::uint8_t> zeros_of(const PackedTensor& packed) {
  std::vector<std::uint8_t> zeros(packed.scale.size(), kMiddle);
  for (std::size_t i = 0; i < packed.zero_point.size(); ++i) {
    zeros[i] = static_cast<std::uint8_t>(packed.zero_point[i] + kMiddle);
  }
  return zeros;
}

void put_zero_points(std::span<const std::uint8_t> zeros, PackedTensor& packed) {
  if (std::all_of(zeros.begin(), zeros.end(), [](std::uint8_t zero) { return zero == kMiddle; })) {
    return;
  }
  QuantSpecFields fields = packed.spec.fields();
  fields.symmetric = false;
  packed.spec = QuantSpec(fields);
  for (const std::uint8_t zero : zeros) {
    packed.zero_point.push_back(static_cast<std::int8_t>(zero - kMiddle));
  }
}

QuantSpec spec_of(std::int64_t group_size, ScaleType type) {
  QuantSpecFields fields;
  fields.num_bits = kBits;
  fields.strategy = group_size == -1 ? Strategy::channel : Strategy::group;
  fields.group_size = group_size == -1 ? 0 : group_size;
  fields.scale_dtype = type;
  return QuantSpec(fields);
}

}  // namespace

Members to_awq(const PackedTensor& packed, const AwqOptions& options) {
  refuse_input_transform(packed, "AWQ");
  check_extents(packed);
  const QuantSpec target = target_of(packed, options);
  const PackedTensor restated = restate(packed, target);
  if (!restated.group_index.empty()) {
    throw NoExactForm("its groups are of scattered inputs, which AWQ cannot say");
  }
  const auto in = static_cast<std::size_t>(packed.in_features);
  const auto out = static_cast<std::size_t>(packed.out_features);
  const std::int64_t groups = target.groups(packed.in_features);
  const std::int64_t words = packed.out_features / static_cast<std::int64_t>(kInWord);
  const auto codes = transposed<std::uint8_t>(unpack(restated), in);
  const auto zeros = transposed<std::uint8_t>(zeros_of(restated), static_cast<std::size_t>(groups));
  const auto scales = transposed<float>(restated.scale, static_cast<std::size_t>(groups));
  Members members;
  members["qweight"] =
      raw_tensor(DType::int32, {packed.in_features, words}, pack_matrix(interleaved(codes), out, kBits));
  members["qzeros"] = raw_tensor(DType::int32, {groups, words}, pack_matrix(interleaved(zeros), out, kBits));
  members["scales"] =
      raw_tensor(DType::float16, {groups, packed.out_features}, encode_scales(scales, ScaleType::float16));
  return members;
}

PackedTensor from_awq(const Members& members, std::int64_t group_size) {
  constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;
  MemberReader reader(members, "AWQ");
  const data::RawTensor& weight = reader.get("qweight", 2);
  if (weight.shape[0] > kLargestExtent || weight.shape[1] > kLargestExtent / 8) {
    reader.fail("tensor qweight has shape " + shape_text(weight.shape), "extents are at most 2^31");
  }
  if (group_size != -1 && (group_size < 1 || weight.shape[0] % group_size != 0)) {
    reader.fail(
        "group_size " + std::to_string(group_size) + " with " + std::to_string(weight.shape[0]) + " inputs",
        "groups are of equal size");
  }
  PackedTensor packed;
  packed.in_features = weight.shape[0];
  packed.out_features = weight.shape[1] * 8;
  const auto out = static_cast<std::size_t>(packed.out_features);
  const std::vector<std::int64_t> words = weight.shape;
  const std::int64_t groups = group_size == -1 ? 1 : packed.in_features / group_size;
  const auto codes =
      straightened(unpack_matrix(reader.values<std::uint32_t>("qweight", DType::int32, words), out, kBits));
  ScaleType type = ScaleType::float16;
  packed.scale = transposed<float>(reader.scales("scales", {groups, packed.out_features}, type), out);
  packed.spec = spec_of(group_size, type);
  const auto zeros = straightened(
      unpack_matrix(reader.values<std::uint32_t>("qzeros", DType::int32, {groups, words[1]}), out, kBits));
  put_zero_points(transposed<std::uint8_t>(zeros, out), packed);
  reader.finish();
  return pack(std::move(packed), transposed<std::uint8_t>(codes, out));
}

}  // namespace bitlaw::quant
