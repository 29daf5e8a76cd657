// Writes a quantised model as bitlaw's own file.
#include "data/formats/input_error.h"
#include "quant/containers/native.h"
#include "quant/containers/native_layout.h"
#include "quant/containers/scale_bytes.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <stdexcept>

namespace bitlaw::quant {

namespace {

using data::enum_name;

void put_spec(data::TensorFile& file, const std::string& group, const QuantSpec& spec) {
  const QuantSpecFields& fields = spec.fields();
  file.put_integer(group, "num_bits", fields.num_bits);
  file.put_text(group, "type", std::string(enum_name(fields.type)));
  file.put_integer(group, "symmetric", fields.symmetric ? 1 : 0);
  file.put_text(group, "grid", std::string(enum_name(fields.grid)));
  file.put_text(group, "strategy", std::string(enum_name(fields.strategy)));
  file.put_integer(group, "group_size", fields.group_size);
  if (fields.format) {
    file.put_text(group, native::kFloatFormat, std::string(enum_name(*fields.format)));
  }
  if (fields.strategy == Strategy::block) {
    file.put_integers(group, native::kBlockStructure, fields.block_structure);
  }
}

bool is_later(const QuantSpec& spec) {
  const QuantSpecFields& fields = spec.fields();
  return fields.type != NumberType::integer || fields.strategy == Strategy::block ||
         fields.zero_point_dtype != ZeroPointType::int8 || bits_of(fields.scale_dtype) == 8;
}

// The first version that defines everything in the model.
std::int64_t version_of(const PackedModel& model) {
  if (std::any_of(model.activations.begin(), model.activations.end(),
                  [](const auto& item) { return item.second.spec.fields().strategy != Strategy::token; })) {
    return native::kInputsVersion;
  }
  const bool later = std::any_of(model.weights.begin(), model.weights.end(),
                                 [](const auto& item) {
                                   const PackedTensor& packed = item.second;
                                   return is_later(packed.spec) || !packed.group_index.empty() ||
                                          !packed.input_multiplier.empty() || packed.hadamard_block > 0;
                                 }) ||
                     std::any_of(model.activations.begin(), model.activations.end(),
                                 [](const auto& item) { return is_later(item.second.spec); });
  return later ? native::kFirstVersion + 1 : native::kFirstVersion;
}

template <class T>
void put_vector(data::TensorFile& file, const std::string& name, data::DType type,
                const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
  if (!values.empty()) {
    file.put(name, type, shape, std::as_bytes(std::span(values)));
  }
}

// What a layer has beside codes and scales.
void put_optional_members(data::TensorFile& file, const std::string& group, const PackedTensor& packed,
                          const std::vector<std::int64_t>& scale_shape) {
  const std::vector<std::int64_t> inputs = {packed.in_features};
  put_vector(file, group + "/" + native::kZeroPoint, data::DType::int8, scale_shape, packed.zero_point);
  if (!packed.zero_point_real.empty()) {
    file.put(group + "/" + native::kZeroPoint, data::DType::float16, scale_shape,
             encode_scales(packed.zero_point_real, ScaleType::float16));
  }
  const ScaleType type = packed.spec.fields().scale_dtype;
  if (!packed.scale_negative.empty()) {
    file.put(group + "/" + native::kScaleNegative, dtype_of(type), scale_shape,
             encode_scales(packed.scale_negative, type));
  }
  if (packed.global_scale) {
    put_vector(file, group + "/" + native::kGlobalScale, data::DType::float32, {1},
               std::vector{*packed.global_scale});
  }
  put_vector(file, group + "/" + native::kGroupIndex, data::DType::int32, inputs, packed.group_index);
  put_vector(file, group + "/" + native::kInputTransform, data::DType::float32, inputs,
             packed.input_multiplier);
  if (packed.hadamard_block > 0) {
    file.put_integer(group, native::kHadamardBlock, packed.hadamard_block);
  }
}

void put_weight(data::TensorFile& file, const std::string& module, const PackedTensor& packed) {
  check_packed(packed);
  const std::string group = std::string(native::kWeights) + "/" + module;
  const std::vector<std::int64_t> scale_shape = {packed.spec.scale_rows(packed.out_features),
                                                 packed.spec.groups(packed.in_features)};
  const std::vector<std::int64_t> codes_shape = {packed.out_features,
                                                 packed_words(packed.in_features, packed.spec.bits())};
  file.put(group + "/" + native::kCodes, data::DType::uint32, codes_shape,
           std::as_bytes(std::span(packed.codes)));
  const ScaleType type = packed.spec.fields().scale_dtype;
  file.put(group + "/" + native::kScale, dtype_of(type), scale_shape, encode_scales(packed.scale, type));
  put_optional_members(file, group, packed, scale_shape);
  put_spec(file, group, packed.spec);
  if (bits_of(type) == 8) {  // two types lie in uint8
    file.put_text(group, native::kScaleDtype, std::string(enum_name(type)));
  }
  file.put_integers(group, native::kShape, std::vector{packed.out_features, packed.in_features});
}

void put_input(data::TensorFile& file, const std::string& module, const PackedInput& input) {
  check_packed(input);
  const std::string group = std::string(native::kActivations) + "/" + module;
  const ScaleType type = input.spec.fields().scale_dtype;
  put_spec(file, group, input.spec);
  file.put_text(group, native::kScaleDtype, std::string(enum_name(type)));
  const std::vector<std::int64_t> one = {1};
  if (input.scale) {
    file.put(group + "/" + native::kScale, dtype_of(type), one,
             encode_scales(std::vector{*input.scale}, type));
  }
  if (!input.zero_point) {
    return;
  }
  const std::string zero_point = group + "/" + native::kZeroPoint;
  if (input.spec.has_real_zero_point()) {
    file.put(zero_point, data::DType::float16, one,
             encode_scales(std::vector{*input.zero_point}, ScaleType::float16));
  } else {
    put_vector(file, zero_point, data::DType::int8, one,
               std::vector{static_cast<std::int8_t>(*input.zero_point)});
  }
}

std::int64_t integer_of(const std::string& key, const std::string& text) {
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    throw std::invalid_argument("attribute " + key + " is '" + text + "', which is no integer");
  }
  return value;
}

void put_all(data::TensorFile& file, const PackedModel& model) {
  file.put_text("", "format", native::kFormat);
  file.put_integer("", "version", version_of(model));
  for (const auto& [key, value] : model.attributes) {
    if (key == native::kModelBits) {
      file.put_integer("", key, integer_of(key, value));
    } else {
      file.put_text("", key, value);
    }
  }
  for (const char* group : {native::kWeights, native::kActivations, native::kTensors}) {
    file.put_group(group);
  }
  for (const auto& [module, packed] : model.weights) {
    put_weight(file, module, packed);
  }
  for (const auto& [module, input] : model.activations) {
    put_input(file, module, input);
  }
  for (const auto& [name, tensor] : model.tensors) {
    file.put(std::string(native::kTensors) + "/" + name, tensor.dtype, tensor.shape, tensor.bytes);
  }
}

void check_attributes(const PackedModel& model) {
  for (const auto& [key, value] : model.attributes) {
    if (key != native::kModelBits && key != native::kConfig && key != native::kSource) {
      throw std::invalid_argument("a native file has no attribute " + key);
    }
  }
}

}  // namespace

void write_native(const std::filesystem::path& path, const PackedModel& model) {
  check_attributes(model);
  data::TensorFile file = data::TensorFile::create(path);
  put_all(file, model);
  if (read_native(file.seal()) != model) {
    throw std::runtime_error(path.string() + ": what was read back differs from what was written");
  }
  file.commit();
}

}  // namespace bitlaw::quant
