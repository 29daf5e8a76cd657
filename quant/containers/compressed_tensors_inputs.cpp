#include "quant/containers/compressed_tensors_inputs.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "quant/containers/restate.h"
#include "quant/input_plan.h"

namespace bitlaw::quant {

namespace {

using data::DType;

constexpr const char* kScale = "input_scale";
constexpr const char* kZeroPoint = "input_zero_point";

bool is_mx(const QuantSpecFields& fields) {
  constexpr std::array<FloatFormat, 3> kFormats = {FloatFormat::e2m1, FloatFormat::e2m3, FloatFormat::e4m3};
  return fields.scale_dtype == ScaleType::e8m0 && fields.format &&
         std::find(kFormats.begin(), kFormats.end(), *fields.format) != kFormats.end();
}

// A zero point of symmetric inputs, whatever its type: all bytes are 0.
void take_zero(MemberReader& reader) {
  if (!reader.contains(kZeroPoint)) {
    return;
  }
  const data::RawTensor& tensor = reader.get(kZeroPoint);
  const bool zero = std::all_of(tensor.bytes.begin(), tensor.bytes.end(),
                                [](std::byte byte) { return byte == std::byte{0}; });
  if (!zero) {
    reader.fail(std::string(kZeroPoint) + " of symmetric inputs is not 0", "it would shift them");
  }
}

// [1], or a scalar.
std::vector<std::int64_t> shape_of(MemberReader& reader, const char* name) {
  const std::vector<std::int64_t> shape = reader.get(name).shape;
  return shape.empty() ? shape : std::vector<std::int64_t>{1};
}

PackedInput read_input(QuantSpecFields fields, MemberReader& reader) {
  ScaleType type = ScaleType::float32;
  const float scale = reader.scales(kScale, shape_of(reader, kScale), type).front();
  fields.scale_dtype = type;
  PackedInput input{QuantSpec(fields), scale, std::nullopt};
  if (input.spec.has_zero_point()) {
    input.zero_point = static_cast<float>(
        reader.values<std::int8_t>(kZeroPoint, DType::int8, shape_of(reader, kZeroPoint)).front());
  } else {
    take_zero(reader);
  }
  reader.finish();
  check_packed(input);
  return input;
}

}  // namespace

void check_compressed_inputs(const QuantSpec& spec) {
  const QuantSpecFields& fields = spec.fields();
  const bool integer = fields.type == NumberType::integer && fields.grid == Grid::integer &&
                       fields.scale_dtype != ScaleType::e8m0;
  const bool e4m3 = fields.format == FloatFormat::e4m3 && fields.symmetric;
  if (!integer && !e4m3 && !is_mx(fields)) {
    throw NoExactForm("inputs as " + spec.to_string() +
                      " are unknown there, which are integers, e4m3, MXFP4, MXFP6 (e2m3) and MXFP8 (e4m3)");
  }
  if (fields.zero_point_dtype == ZeroPointType::float16) {
    throw NoExactForm("inputs as " + spec.to_string() +
                      " have a zero point between two levels, and zero points there are integers");
  }
}

void put_compressed_inputs(const PackedInput& input, Members& members) {
  if (!input.scale) {
    return;
  }
  members[kScale] = raw_tensor(DType::float32, {1}, std::vector{*input.scale});
  if (input.zero_point) {
    members[kZeroPoint] =
        raw_tensor(DType::int8, {1}, std::vector{static_cast<std::int8_t>(*input.zero_point)});
  }
}

PackedInput take_compressed_inputs(const QuantSpec& spec, Members& members) {
  Members own;
  if (is_static(spec)) {
    for (const char* name : {kScale, kZeroPoint}) {
      if (auto found = members.extract(name)) {
        own.insert(std::move(found));
      }
    }
    MemberReader reader(own, "compressed-tensors");
    return read_input(spec.fields(), reader);
  }
  return {spec};
}

}  // namespace bitlaw::quant
