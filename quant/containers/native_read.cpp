// Reads bitlaw's own file of a quantised model. A file is input: nothing in it is believed unchecked, and
// what version 1 does not define is refused.
#include "data/formats/input_error.h"
#include "quant/containers/native.h"
#include "quant/containers/native_layout.h"
#include "quant/containers/scale_bytes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <span>

namespace bitlaw::quant {

namespace {

using data::DType;
using data::InputError;

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : file_(data::TensorFile::open(path)) {}

  PackedModel read();

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& why) const {
    throw InputError(file_.path().string() + ": " + what, why, "export the model again");
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw InputError(file_.path().string() + ": " + what,
                     "format version " + std::to_string(native::kVersion) +
                         " does not define it, and ignoring it could change the weights",
                     "read the file with the version of bitlaw that wrote it");
  }

  void check_version() const;
  void read_attributes();
  void check_members() const;
  void check_weight_member(const std::string& name) const;
  void check_group(const std::string& group, const std::set<std::string>& known) const;
  QuantSpecFields read_fields(const std::string& group) const;
  PackedTensor read_weight(const std::string& module) const;
  QuantSpec read_activation(const std::string& module) const;
  ScaleType scale_type(const std::string& name) const;
  std::vector<std::byte> read_bytes(const std::string& name, const std::vector<std::int64_t>& shape) const;

  template <class Enum>
  Enum read_enum(const std::string& group, const std::string& key) const;
  template <class T>
  std::vector<T> read_values(const std::string& name, DType dtype,
                             const std::vector<std::int64_t>& shape) const;

  data::TensorFile file_;
  PackedModel model_;
};

std::string shown(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text += (text.empty() ? "" : ", ") + std::to_string(extent);
  }
  return "[" + text + "]";
}

template <class Enum>
Enum Reader::read_enum(const std::string& group, const std::string& key) const {
  const std::string name = file_.text(group, key);
  int value = 0;
  for (const std::string_view candidate : data::EnumNames<Enum>::names) {
    if (candidate == name) {
      return static_cast<Enum>(value);
    }
    ++value;
  }
  refuse("group " + group + " has " + key + " '" + name + "'");
}

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

template <class T>
std::vector<T> Reader::read_values(const std::string& name, DType dtype,
                                   const std::vector<std::int64_t>& shape) const {
  if (file_.info(name).dtype != dtype) {
    const std::string found(data::name_of(file_.info(name).dtype));
    refuse("tensor " + name + " is " + found + " instead of " + std::string(data::name_of(dtype)));
  }
  const std::vector<std::byte> bytes = read_bytes(name, shape);
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  return values;
}

void Reader::check_version() const {
  if (!file_.has_text("", "format") || file_.text("", "format") != native::kFormat) {
    throw InputError(file_.path().string() + " is not a packed model",
                     std::string("its attribute format is not '") + native::kFormat + "'",
                     "name a file that 'bitlaw export' wrote");
  }
  const std::int64_t version = file_.integer("", "version");
  if (version < 1 || version > native::kVersion) {
    throw InputError(file_.path().string() + " has format version " + std::to_string(version),
                     "this program reads version " + std::to_string(native::kVersion),
                     "use a newer version of bitlaw");
  }
}

void Reader::check_group(const std::string& group, const std::set<std::string>& known) const {
  for (const std::string& key : file_.attribute_keys(group)) {
    if (known.count(key) == 0) {
      refuse((group.empty() ? "the file" : "group " + group) + " has attribute " + key);
    }
  }
}

void Reader::read_attributes() {
  check_group("", {"format", "version", native::kModelBits, native::kConfig, native::kSource});
  for (const char* key : {native::kConfig, native::kSource}) {
    if (file_.has_text("", key)) {
      model_.attributes[key] = file_.text("", key);
    }
  }
  const auto keys = file_.attribute_keys("");
  if (std::find(keys.begin(), keys.end(), native::kModelBits) != keys.end()) {
    model_.attributes[native::kModelBits] = std::to_string(file_.integer("", native::kModelBits));
  }
}

void Reader::check_weight_member(const std::string& name) const {
  const std::string member = name.substr(name.rfind('/') + 1);
  for (const native::LaterMember& later : native::kLaterMembers) {
    if (member == later.name) {
      refuse("member " + name + " (" + std::string(later.feature) + ")");
    }
  }
  if (member != native::kCodes && member != native::kScale && member != native::kZeroPoint) {
    refuse("member " + name);
  }
}

// Everything in the file is in its place.
void Reader::check_members() const {
  for (const std::string& group : file_.groups("")) {
    if (group != native::kWeights && group != native::kActivations && group != native::kTensors) {
      refuse("group " + group);
    }
    check_group(group, {});
  }
  for (const std::string& name : file_.names()) {
    const auto depth = std::count(name.begin(), name.end(), '/');
    if (depth == 2 && name.starts_with("weights/")) {
      check_weight_member(name);
    } else if (depth != 1 || !name.starts_with("tensors/")) {
      refuse("tensor " + name);
    }
  }
  for (const char* parent : {native::kWeights, native::kActivations}) {
    for (const std::string& module : file_.groups(parent)) {
      const auto inner = file_.groups(std::string(parent) + "/" + module);
      if (!inner.empty()) {
        refuse("group " + std::string(parent) + "/" + module + "/" + inner.front());
      }
    }
  }
  if (const auto inner = file_.groups(native::kTensors); !inner.empty()) {
    refuse("group tensors/" + inner.front());
  }
}

QuantSpecFields Reader::read_fields(const std::string& group) const {
  QuantSpecFields fields;
  fields.num_bits = file_.integer(group, "num_bits");
  fields.type = read_enum<NumberType>(group, "type");
  if (fields.type != NumberType::integer) {
    refuse("group " + group + " has type '" + file_.text(group, "type") + "'");
  }
  const std::int64_t symmetric = file_.integer(group, "symmetric");
  if (symmetric != 0 && symmetric != 1) {
    refuse("group " + group + " has symmetric " + std::to_string(symmetric));
  }
  fields.symmetric = symmetric == 1;
  fields.grid = read_enum<Grid>(group, "grid");
  fields.strategy = read_enum<Strategy>(group, "strategy");
  fields.group_size = file_.integer(group, "group_size");
  return fields;
}

ScaleType Reader::scale_type(const std::string& name) const {
  for (const ScaleType type : {ScaleType::float32, ScaleType::float16, ScaleType::bfloat16}) {
    if (file_.info(name).dtype == dtype_of(type)) {
      return type;
    }
  }
  refuse("tensor " + name + " is " + std::string(data::name_of(file_.info(name).dtype)));
}

PackedTensor Reader::read_weight(const std::string& module) const {
  const std::string group = std::string(native::kWeights) + "/" + module;
  std::set<std::string> known(native::kSpecAttributes.begin(), native::kSpecAttributes.end());
  known.insert(native::kShape);
  check_group(group, known);
  QuantSpecFields fields = read_fields(group);
  fields.scale_dtype = scale_type(group + "/" + native::kScale);
  const std::vector<std::int64_t> shape = file_.integers(group, native::kShape);
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > INT32_MAX || shape[1] > INT32_MAX) {
    fail("group " + group + " has shape " + shown(shape), "a weight is [out, in]");
  }
  PackedTensor packed;
  packed.spec = QuantSpec(fields);
  packed.out_features = shape[0];
  packed.in_features = shape[1];
  packed.codes = read_values<std::uint32_t>(group + "/" + native::kCodes, DType::uint32,
                                            {shape[0], packed_words(shape[1], packed.spec.bits())});
  const std::vector<std::int64_t> scale_shape = {fields.strategy == Strategy::tensor ? 1 : shape[0],
                                                 packed.spec.groups(shape[1])};
  packed.scale = decode_scales(read_bytes(group + "/" + native::kScale, scale_shape), fields.scale_dtype);
  if (!std::all_of(packed.scale.begin(), packed.scale.end(),
                   [](float scale) { return std::isfinite(scale) && scale > 0.0F; })) {
    fail("tensor " + group + "/scale holds a scale that is not positive and finite", "a step is positive");
  }
  if (!fields.symmetric) {
    packed.zero_point = read_values<std::int8_t>(group + "/" + native::kZeroPoint, DType::int8, scale_shape);
  } else if (file_.contains(group + "/" + native::kZeroPoint)) {
    refuse("member " + group + "/zero_point of a symmetric weight");
  }
  check_packed(packed);
  return packed;
}

QuantSpec Reader::read_activation(const std::string& module) const {
  const std::string group = std::string(native::kActivations) + "/" + module;
  std::set<std::string> known(native::kSpecAttributes.begin(), native::kSpecAttributes.end());
  known.insert(native::kScaleDtype);
  check_group(group, known);
  QuantSpecFields fields = read_fields(group);
  fields.scale_dtype = read_enum<ScaleType>(group, native::kScaleDtype);
  return QuantSpec(fields);
}

PackedModel Reader::read() {
  check_version();
  read_attributes();
  check_members();
  try {
    for (const std::string& module : file_.groups(native::kWeights)) {
      model_.weights.emplace(module, read_weight(module));
    }
    for (const std::string& module : file_.groups(native::kActivations)) {
      model_.activations.emplace(module, read_activation(module));
    }
  } catch (const InputError& error) {  // of a spec or a shape, which do not know the file
    const std::string message = error.what();
    const bool named = message.find(file_.path().string()) != std::string::npos;
    throw InputError(named ? message : file_.path().string() + ": " + message);
  }
  for (const std::string& name : file_.names()) {
    if (name.starts_with("tensors/")) {
      const data::TensorInfo& info = file_.info(name);
      model_.tensors.emplace(name.substr(std::strlen("tensors/")),
                             data::RawTensor{info.dtype, info.shape, read_bytes(name, info.shape)});
    }
  }
  return std::move(model_);
}

}  // namespace

PackedModel read_native(const std::filesystem::path& path) {
  return Reader(path).read();
}

}  // namespace bitlaw::quant
