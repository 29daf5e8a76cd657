// The tensors of compressed-tensors -> a packed weight. They are input: nothing in them is believed
// unchecked.
#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/small_scales.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

namespace {

using data::DType;

constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;

class LayerReader {
 public:
  LayerReader(const Members& members, const QuantSpec& spec, CompressedFormat format,
              std::optional<WordLayout> layout)
      : reader_(members, "compressed-tensors"), format_(format), layout_(layout) {
    packed_.spec = spec;
  }

  PackedTensor read();

 private:
  bool is_packed() const { return format_ == CompressedFormat::pack_quantized; }
  void check_spec() const;
  void read_extents();
  void set_extents(std::int64_t out_features, std::int64_t in_features);
  void find_layout(std::int64_t words);
  std::vector<std::uint8_t> read_codes();
  std::vector<std::uint8_t> read_packed_bytes();
  std::vector<std::int64_t> scale_shape() const;
  void read_scales();
  void read_two_level_scales();
  void read_zero_points();
  void read_packed_zero_points();
  void set_scale_type(ScaleType type);

  MemberReader reader_;
  CompressedFormat format_;
  std::optional<WordLayout> layout_;
  PackedTensor packed_;
};

// What the format can hold at all.
void LayerReader::check_spec() const {
  const QuantSpecFields& fields = packed_.spec.fields();
  bool fits = fields.type == NumberType::floating;
  switch (format_) {
    case CompressedFormat::pack_quantized:
    case CompressedFormat::int_quantized:
      fits = fields.type == NumberType::integer;
      break;
    case CompressedFormat::float_quantized:
    case CompressedFormat::mxfp8_quantized:
      fits = fits && fields.format == FloatFormat::e4m3;
      break;
    case CompressedFormat::nvfp4_pack_quantized:
      fits = fits && fields.format == FloatFormat::e2m1 && fields.group_size == 16;
      break;
    case CompressedFormat::mxfp4_pack_quantized:
      fits = fits && fields.format == FloatFormat::e2m1 && fields.group_size == 32;
      break;
    case CompressedFormat::mxfp6_pack_quantized:
      fits = fits && fields.format == FloatFormat::e2m3 && fields.group_size == 32;
      break;
  }
  if (!fits || (fields.type == NumberType::floating && !fields.symmetric)) {
    reader_.fail(packed_.spec.to_string() + " in the format " + std::string(data::enum_name(format_)),
                 "the format holds no such numbers");
  }
}

void LayerReader::set_extents(std::int64_t out_features, std::int64_t in_features) {
  if (out_features < 1 || in_features < 1 || out_features > kLargestExtent || in_features > kLargestExtent) {
    reader_.fail("a weight of " + std::to_string(out_features) + " x " + std::to_string(in_features),
                 "both extents are 1 to 2^31");
  }
  packed_.out_features = out_features;
  packed_.in_features = in_features;
}

void LayerReader::find_layout(std::int64_t words) {
  const auto in = static_cast<std::size_t>(packed_.in_features);
  const int bits = packed_.spec.bits();
  const bool dense = words == static_cast<std::int64_t>(words_of_row(in, bits, WordLayout::dense));
  const bool old = words == static_cast<std::int64_t>(words_of_row(in, bits, WordLayout::words));
  if (dense && old && 32 % bits != 0) {
    if (!layout_) {
      throw data::InputError(std::to_string(words) + " words for " + std::to_string(in) + " codes of " +
                                 std::to_string(bits) + " bits",
                             "the layouts since 0.18 and before it have as many, and no version is stated",
                             "say which one it is (--from compressed-tensors or compressed-tensors-0.17)");
    }
  } else if (dense || old) {
    layout_ = dense ? WordLayout::dense : WordLayout::words;
  } else {
    reader_.fail("tensor weight_packed has " + std::to_string(words) + " words for " + std::to_string(in) +
                     " codes of " + std::to_string(bits) + " bits",
                 "neither layout has so many");
  }
}

void LayerReader::read_extents() {
  if (is_packed()) {
    const auto shape = reader_.values<std::int64_t>("weight_shape", DType::int64, {2});
    set_extents(shape[0], shape[1]);
    const data::RawTensor& words = reader_.get("weight_packed", 2);
    find_layout(words.shape[1]);
    return;
  }
  const bool bytes = packed_.spec.bits() < 8 && packed_.spec.fields().type == NumberType::floating;
  const data::RawTensor& weight = reader_.get(bytes ? "weight_packed" : "weight", 2);
  const std::int64_t bits = bytes ? packed_.spec.bits() : 8;
  if (weight.shape[1] > kLargestExtent || weight.shape[1] * 8 % bits != 0) {
    reader_.fail("tensor weight_packed has shape " + shape_text(weight.shape),
                 "a row ends inside a code of " + std::to_string(bits) + " bits");
  }
  set_extents(weight.shape[0], weight.shape[1] * 8 / bits);
}

std::vector<std::uint8_t> LayerReader::read_packed_bytes() {
  const std::int64_t width = packed_.in_features * packed_.spec.bits() / 8;
  const auto bytes =
      reader_.values<std::uint8_t>("weight_packed", DType::uint8, {packed_.out_features, width});
  // Groups of 16 or 32 fill whole words: checked by groups(), which a row's length must fit.
  packed_.spec.groups(packed_.in_features);
  std::vector<std::uint32_t> words(bytes.size() / sizeof(std::uint32_t));
  std::memcpy(words.data(), bytes.data(), words.size() * sizeof(std::uint32_t));
  return unpack_matrix(words, static_cast<std::size_t>(packed_.in_features), packed_.spec.bits());
}

std::vector<std::uint8_t> LayerReader::read_codes() {
  const std::vector<std::int64_t> shape = {packed_.out_features, packed_.in_features};
  const int bits = packed_.spec.bits();
  if (is_packed()) {
    const auto columns = static_cast<std::size_t>(packed_.in_features);
    const auto width = static_cast<std::int64_t>(words_of_row(columns, bits, *layout_));
    return unpack_matrix(
        reader_.values<std::uint32_t>("weight_packed", DType::int32, {packed_.out_features, width}), columns,
        bits, *layout_);
  }
  if (packed_.spec.fields().type == NumberType::floating) {
    return bits == 8 ? reader_.values<std::uint8_t>("weight", DType::float8_e4m3fn, shape)
                     : read_packed_bytes();
  }
  std::vector<std::uint8_t> codes;
  for (const std::int8_t q : reader_.values<std::int8_t>("weight", DType::int8, shape)) {
    if (q < packed_.spec.q_min() || q > packed_.spec.q_max()) {
      reader_.fail("tensor weight holds " + std::to_string(q),
                   "codes have " + std::to_string(bits) + " bits");
    }
    codes.push_back(static_cast<std::uint8_t>(q + (1 << (bits - 1))));
  }
  return codes;
}

std::vector<std::int64_t> LayerReader::scale_shape() const {
  if (packed_.spec.fields().strategy == Strategy::tensor) {
    return {1};
  }
  return {packed_.spec.scale_rows(packed_.out_features), packed_.spec.groups(packed_.in_features)};
}

void LayerReader::set_scale_type(ScaleType type) {
  QuantSpecFields fields = packed_.spec.fields();
  fields.scale_dtype = type;
  packed_.spec = QuantSpec(fields);
}

void LayerReader::read_two_level_scales() {
  packed_.scale =
      e4m3_scales(reader_.values<std::uint8_t>("weight_scale", DType::float8_e4m3fn, scale_shape()));
  const float divisor = reader_.values<float>("weight_global_scale", DType::float32, {1}).front();
  if (!std::isnormal(divisor) || divisor < 0.0F) {
    reader_.fail("weight_global_scale is " + std::to_string(divisor), "scales are divided by it");
  }
  if (const std::optional<float> multiplier = multiplier_for(divisor)) {
    set_scale_type(ScaleType::e4m3);
    packed_.global_scale = multiplier;
    return;
  }
  set_scale_type(ScaleType::float32);  // the quotients themselves: no product gives them
  for (float& scale : packed_.scale) {
    scale /= divisor;
  }
}

void LayerReader::read_scales() {
  switch (format_) {
    case CompressedFormat::nvfp4_pack_quantized:
      read_two_level_scales();
      break;
    case CompressedFormat::mxfp4_pack_quantized:
    case CompressedFormat::mxfp6_pack_quantized:
    case CompressedFormat::mxfp8_quantized:
      packed_.scale = e8m0_scales(reader_.values<std::uint8_t>("weight_scale", DType::uint8, scale_shape()));
      set_scale_type(ScaleType::e8m0);
      break;
    default:
      ScaleType type = ScaleType::float32;
      packed_.scale = reader_.scales("weight_scale", scale_shape(), type);
      set_scale_type(type);
  }
  if (!std::all_of(packed_.scale.begin(), packed_.scale.end(),
                   [](float scale) { return std::isfinite(scale) && scale > 0.0F; })) {
    reader_.fail("weight_scale holds a scale that is not positive and finite", "a step is positive");
  }
}

void LayerReader::read_packed_zero_points() {
  const int bits = packed_.spec.bits();
  const auto rows = static_cast<std::size_t>(packed_.out_features);
  const std::int64_t groups = packed_.spec.groups(packed_.in_features);
  const std::size_t width = words_of_row(rows, bits, *layout_);
  const auto words = reader_.values<std::uint32_t>("weight_zero_point", DType::int32,
                                                   {static_cast<std::int64_t>(width), groups});
  const auto by_group =
      unpack_matrix(transposed<std::uint32_t>(words, static_cast<std::size_t>(groups)), rows, bits, *layout_);
  for (const std::uint8_t code : transposed<std::uint8_t>(by_group, rows)) {
    packed_.zero_point.push_back(static_cast<std::int8_t>(code - (1 << (bits - 1))));
  }
}

void LayerReader::read_zero_points() {
  if (packed_.spec.fields().symmetric) {
    return;
  }
  const Strategy strategy = packed_.spec.fields().strategy;
  if (is_packed() && (strategy == Strategy::group || strategy == Strategy::channel)) {
    read_packed_zero_points();
  } else {
    packed_.zero_point = reader_.values<std::int8_t>("weight_zero_point", DType::int8, scale_shape());
  }
}

PackedTensor LayerReader::read() {
  check_spec();
  read_extents();
  const std::vector<std::uint8_t> codes = read_codes();
  read_scales();
  read_zero_points();
  if (is_packed() && reader_.contains("weight_g_idx")) {
    packed_.group_index = reader_.values<std::int32_t>("weight_g_idx", DType::int32, {packed_.in_features});
  }
  reader_.finish();
  return pack(std::move(packed_), codes);
}

}  // namespace

PackedTensor from_compressed_tensors(const Members& members, const QuantSpec& spec, CompressedFormat format,
                                     std::optional<WordLayout> layout) {
  return LayerReader(members, spec, format, layout).read();
}

}  // namespace bitlaw::quant
