#include "quant/containers/gguf_tensor.h"

#include <array>
#include <utility>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

namespace {

using data::DType;
using data::GgmlType;
using data::InputError;

constexpr std::size_t kMostDimensions = 4;

struct TypePair {
  DType dtype;
  GgmlType type;
};
// Both ways.
constexpr std::array<TypePair, 8> kSame = {{{DType::float32, GgmlType::f32},
                                            {DType::float16, GgmlType::f16},
                                            {DType::bfloat16, GgmlType::bf16},
                                            {DType::float64, GgmlType::f64},
                                            {DType::int8, GgmlType::i8},
                                            {DType::int16, GgmlType::i16},
                                            {DType::int32, GgmlType::i32},
                                            {DType::int64, GgmlType::i64}}};

bool is_same(DType dtype) {
  for (const TypePair& pair : kSame) {
    if (pair.dtype == dtype) {
      return true;
    }
  }
  return false;
}

// The type of the same width.
GgmlType type_of(DType dtype) {
  for (const TypePair& pair : kSame) {
    if (pair.dtype == dtype) {
      return pair.type;
    }
  }
  switch (data::bits_of(dtype)) {
    case 8:
      return GgmlType::i8;
    case 16:
      return GgmlType::i16;
    case 32:
      return GgmlType::i32;
    case 64:
      return GgmlType::i64;
    default:
      throw InputError("a tensor of " + std::string(data::name_of(dtype)), "GGUF has no type of that width",
                       "use another format");
  }
}

bool fits(const std::vector<std::int64_t>& shape) {
  return !shape.empty() && shape.size() <= kMostDimensions;
}

DType dtype_in_remark(const data::Json& remark, const std::string& what) {
  const data::Json* dtype = remark.find("dtype");
  if (dtype == nullptr || dtype->text() == nullptr) {
    throw InputError(what + ": a remark without dtype", "it says what the bytes mean",
                     "write the file again with bitlaw");
  }
  return data::dtype_from_name(*dtype->text());
}

std::vector<std::int64_t> shape_in_remark(const data::Json& remark, const std::string& what) {
  const data::Json* shape = remark.find("shape");
  std::vector<std::int64_t> extents;
  if (shape == nullptr || shape->array() == nullptr) {
    throw InputError(what + ": a remark without shape", "it says what the bytes mean",
                     "write the file again with bitlaw");
  }
  for (const data::Json& extent : *shape->array()) {
    extents.push_back(extent.integer() == nullptr ? -1 : *extent.integer());
  }
  return extents;
}

}  // namespace

void check_gguf_name(const std::string& name) {
  if (name.size() > data::kLongestGgufName) {
    throw InputError("tensor " + name,
                     "ggml holds names of at most " + std::to_string(data::kLongestGgufName) + " bytes",
                     "use another format");
  }
}

std::vector<std::int64_t> shape_of_gguf(const data::GgufTensorInfo& info) {
  std::vector<std::int64_t> shape;
  for (auto extent = info.dims.rbegin(); extent != info.dims.rend(); ++extent) {
    shape.push_back(static_cast<std::int64_t>(*extent));
  }
  return shape;
}

data::GgufTensorInfo gguf_info(const std::string& name, const data::RawTensor& tensor) {
  check_gguf_name(name);
  data::GgufTensorInfo info;
  info.name = name;
  info.type = type_of(tensor.dtype);
  std::uint64_t elements = 1;
  for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) {
    info.dims.push_back(static_cast<std::uint64_t>(*extent));
    elements *= static_cast<std::uint64_t>(*extent);
  }
  if (elements == 0) {
    throw InputError("tensor " + name + " is empty", "GGUF holds no empty tensors", "use another format");
  }
  if (!fits(tensor.shape)) {
    info.dims = {elements};
  }
  return info;
}

std::optional<data::Json> gguf_remark(const data::RawTensor& tensor) {
  if (is_same(tensor.dtype) && fits(tensor.shape)) {
    return std::nullopt;
  }
  return data::Json::Object{{"dtype", std::string(data::name_of(tensor.dtype))},
                            {"shape", data::Json::Array(tensor.shape.begin(), tensor.shape.end())}};
}

data::RawTensor tensor_of_gguf(const data::GgufTensorInfo& info, std::vector<std::byte> bytes,
                               const data::Json* remark, const std::string& origin) {
  const std::string what = origin + ": tensor " + info.name;
  data::RawTensor tensor{DType::float32, shape_of_gguf(info), std::move(bytes)};
  bool known = false;
  for (const TypePair& pair : kSame) {
    if (pair.type == info.type) {
      tensor.dtype = pair.dtype;
      known = true;
    }
  }
  if (!known) {
    throw InputError(
        what + " has type " + std::string(data::facts_of(info.type).name),
        "of the block types Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_0, TQ2_0, MXFP4 and NVFP4 are read: the "
        "others have scales of scales or tables of their own",
        "quantise the model to one of these");
  }
  if (remark != nullptr) {
    tensor.dtype = dtype_in_remark(*remark, what);
    tensor.shape = shape_in_remark(*remark, what);
  }
  if (data::byte_count(tensor.dtype, tensor.shape) != tensor.bytes.size()) {
    throw InputError(what + " has " + std::to_string(tensor.bytes.size()) + " bytes",
                     "they do not fit its shape", "write the file again with the tool that made it");
  }
  return tensor;
}

}  // namespace bitlaw::quant
