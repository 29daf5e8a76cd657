// Reads the weights and specs of bitlaw's own file of a quantised model.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/containers/native_reader.h"
#include "quant/containers/scale_bytes.h"

namespace bitlaw::quant::native {

using data::DType;

namespace {

std::string shown(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text += (text.empty() ? "" : ", ") + std::to_string(extent);
  }
  return "[" + text + "]";
}

}  // namespace

std::vector<std::byte> Reader::read_bytes(const std::string& name,
                                          const std::vector<std::int64_t>& shape) const {
  const data::TensorInfo& info = file_.info(name);
  if (info.shape != shape) {
    fail("tensor " + name + " has shape " + shown(info.shape) + " instead of " + shown(shape),
         "it must fit the attributes of its group");
  }
  std::vector<std::byte> bytes(info.byte_count());
  file_.read(name, bytes);
  return bytes;
}

QuantSpecFields Reader::read_fields(const std::string& group) const {
  QuantSpecFields fields;
  fields.num_bits = file_.integer(group, "num_bits");
  fields.type = read_enum<NumberType>(group, "type");
  const std::int64_t symmetric = file_.integer(group, "symmetric");
  if (symmetric != 0 && symmetric != 1) {
    refuse("group " + group + " has symmetric " + std::to_string(symmetric));
  }
  fields.symmetric = symmetric == 1;
  fields.grid = read_enum<Grid>(group, "grid");
  fields.strategy = read_enum<Strategy>(group, "strategy");
  fields.group_size = file_.integer(group, "group_size");
  if (version_ == kFirstVersion && fields.type != NumberType::integer) {
    refuse("group " + group + " has type '" + file_.text(group, "type") + "'");
  }
  if (version_ == kFirstVersion && fields.strategy == Strategy::block) {
    refuse("group " + group + " has strategy 'block'");
  }
  if (fields.type == NumberType::floating) {
    fields.format = read_enum<FloatFormat>(group, kFloatFormat);
  }
  if (fields.strategy == Strategy::block) {
    fields.block_structure = file_.integers(group, kBlockStructure);
  }
  return fields;
}

// Attributes of a group of spec attributes that this version defines, besides `more`.
std::set<std::string> Reader::known_attributes(const QuantSpecFields& fields,
                                               const std::set<std::string>& more) const {
  std::set<std::string> known(kSpecAttributes.begin(), kSpecAttributes.end());
  known.insert(more.begin(), more.end());
  if (fields.type == NumberType::floating) {
    known.insert(kFloatFormat);
  }
  if (fields.strategy == Strategy::block) {
    known.insert(kBlockStructure);
  }
  return known;
}

ScaleType Reader::scale_type(const std::string& group) const {
  const std::string name = group + "/" + kScale;
  const DType dtype = file_.info(name).dtype;
  for (const ScaleType type : {ScaleType::float32, ScaleType::float16, ScaleType::bfloat16}) {
    if (dtype == dtype_of(type)) {
      return type;
    }
  }
  if (version_ == kFirstVersion || dtype != DType::uint8) {
    refuse("tensor " + name + " is " + std::string(data::name_of(dtype)));
  }
  const auto type = read_enum<ScaleType>(group, kScaleDtype);
  if (bits_of(type) != 8) {
    fail("tensor " + name + " is uint8 with scale_dtype " + file_.text(group, kScaleDtype),
         "uint8 holds e8m0 or e4m3");
  }
  return type;
}

std::vector<float> Reader::read_scales(const std::string& name, ScaleType type,
                                       const std::vector<std::int64_t>& shape) const {
  if (file_.info(name).dtype != dtype_of(type)) {
    refuse("tensor " + name + " is " + std::string(data::name_of(file_.info(name).dtype)));
  }
  std::vector<float> scales = decode_scales(read_bytes(name, shape), type);
  if (!std::all_of(scales.begin(), scales.end(),
                   [](float scale) { return std::isfinite(scale) && scale > 0.0F; })) {
    fail("tensor " + name + " holds a scale that is not positive and finite", "a step is positive");
  }
  return scales;
}

void Reader::read_zero_points(const std::string& group, const std::vector<std::int64_t>& shape,
                              PackedTensor& packed) const {
  const std::string name = group + "/" + kZeroPoint;
  if (!packed.spec.has_zero_point()) {
    if (file_.contains(name)) {
      refuse("member " + name + " of a symmetric weight");
    }
  } else if (packed.spec.has_real_zero_point()) {
    packed.zero_point_real = decode_scales(read_bytes(name, shape), ScaleType::float16);
  } else {
    packed.zero_point = read_values<std::int8_t>(name, DType::int8, shape);
  }
}

// Members that version 1 does not have.
void Reader::read_later_members(const std::string& group, const std::vector<std::int64_t>& shape,
                                PackedTensor& packed) const {
  const auto path = [&](const char* member) { return group + "/" + member; };
  if (packed.spec.has_negative_scale()) {
    packed.scale_negative = read_scales(path(kScaleNegative), packed.spec.fields().scale_dtype, shape);
  } else if (file_.contains(path(kScaleNegative))) {
    refuse("member " + path(kScaleNegative) + " of " + packed.spec.to_string());
  }
  if (packed.spec.has_global_scale()) {
    packed.global_scale = read_values<float>(path(kGlobalScale), DType::float32, {1})[0];
  } else if (file_.contains(path(kGlobalScale))) {
    refuse("member " + path(kGlobalScale) + " of " + packed.spec.to_string());
  }
  if (file_.contains(path(kGroupIndex))) {
    packed.group_index = read_values<std::int32_t>(path(kGroupIndex), DType::int32, {packed.in_features});
  }
  if (file_.contains(path(kInputTransform))) {
    packed.input_multiplier = read_values<float>(path(kInputTransform), DType::float32, {packed.in_features});
  }
  if (has_attribute(group, kHadamardBlock)) {
    packed.hadamard_block = file_.integer(group, kHadamardBlock);
  }
}

bool Reader::has_attribute(const std::string& group, const std::string& key) const {
  const std::vector<std::string> keys = file_.attribute_keys(group);
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

PackedTensor Reader::read_weight(const std::string& module) const {
  const std::string group = std::string(kWeights) + "/" + module;
  QuantSpecFields fields = read_fields(group);
  fields.scale_dtype = scale_type(group);
  std::set<std::string> more = {kShape};
  if (version_ > kFirstVersion) {
    more.insert(kHadamardBlock);
  }
  if (bits_of(fields.scale_dtype) == 8) {
    more.insert(kScaleDtype);
  }
  check_group(group, known_attributes(fields, more));
  const std::string zero_point = group + "/" + kZeroPoint;
  if (version_ > kFirstVersion && !fields.symmetric && file_.contains(zero_point) &&
      file_.info(zero_point).dtype == DType::float16) {
    fields.zero_point_dtype = ZeroPointType::float16;
  }
  const std::vector<std::int64_t> shape = file_.integers(group, kShape);
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > INT32_MAX || shape[1] > INT32_MAX) {
    fail("group " + group + " has shape " + shown(shape), "a weight is [out, in]");
  }
  PackedTensor packed;
  packed.spec = QuantSpec(fields);
  packed.out_features = shape[0];
  packed.in_features = shape[1];
  packed.codes = read_values<std::uint32_t>(group + "/" + kCodes, DType::uint32,
                                            {shape[0], packed_words(shape[1], packed.spec.bits())});
  const std::vector<std::int64_t> scale_shape = {packed.spec.scale_rows(shape[0]),
                                                 packed.spec.groups(shape[1])};
  packed.scale = read_scales(group + "/" + kScale, fields.scale_dtype, scale_shape);
  read_zero_points(group, scale_shape, packed);
  if (version_ > kFirstVersion) {
    read_later_members(group, scale_shape, packed);
  }
  check_packed(packed);
  return packed;
}

}  // namespace bitlaw::quant::native
