// Reads the inputs of bitlaw's own file of a quantised model.
#include "quant/containers/native_reader.h"
#include "quant/containers/scale_bytes.h"

namespace bitlaw::quant::native {

using data::DType;

void Reader::check_input_strategy(const std::string& group, const QuantSpecFields& fields) const {
  const bool later = fields.strategy == Strategy::tensor || fields.strategy == Strategy::group;
  if (fields.strategy != Strategy::token && !(later && version_ >= kInputsVersion)) {
    refuse("group " + group + " has strategy '" + std::string(data::enum_name(fields.strategy)) + "'");
  }
}

PackedInput Reader::read_activation(const std::string& module) const {
  const std::string group = std::string(kActivations) + "/" + module;
  QuantSpecFields fields = read_fields(group);
  check_input_strategy(group, fields);
  check_group(group, known_attributes(fields, {kScaleDtype}));
  fields.scale_dtype = read_enum<ScaleType>(group, kScaleDtype);
  const std::string scale = group + "/" + kScale;
  const std::string zero_point = group + "/" + kZeroPoint;
  if (file_.contains(zero_point) && file_.info(zero_point).dtype == DType::float16) {
    fields.zero_point_dtype = ZeroPointType::float16;
  }
  PackedInput input{QuantSpec(fields)};
  if (file_.contains(scale)) {
    input.scale = read_scales(scale, fields.scale_dtype, {1}).front();
  }
  if (file_.contains(zero_point) && fields.zero_point_dtype == ZeroPointType::float16) {
    input.zero_point = decode_scales(read_bytes(zero_point, {1}), ScaleType::float16).front();
  } else if (file_.contains(zero_point)) {
    input.zero_point = static_cast<float>(read_values<std::int8_t>(zero_point, DType::int8, {1}).front());
  }
  check_packed(input);
  return input;
}

}  // namespace bitlaw::quant::native
