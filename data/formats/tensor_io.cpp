// at::Tensor in and out of a TensorFile.
#include "data/formats/tensor_io.h"

#include <ATen/ATen.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "data/formats/input_error.h"

namespace bitlaw::data {

namespace {

constexpr std::array<std::pair<DType, at::ScalarType>, 18> kTypes = {
    {{DType::float32, at::kFloat},
     {DType::float64, at::kDouble},
     {DType::float16, at::kHalf},
     {DType::bfloat16, at::kBFloat16},
     {DType::int8, at::kChar},
     {DType::uint8, at::kByte},
     {DType::int16, at::kShort},
     {DType::uint16, at::kUInt16},
     {DType::int32, at::kInt},
     {DType::uint32, at::kUInt32},
     {DType::int64, at::kLong},
     {DType::uint64, at::kUInt64},
     {DType::boolean, at::kBool},
     {DType::float8_e4m3fn, at::kFloat8_e4m3fn},
     {DType::float8_e5m2, at::kFloat8_e5m2},
     {DType::float8_e8m0fnu, at::kFloat8_e8m0fnu},
     {DType::float8_e4m3fnuz, at::kFloat8_e4m3fnuz},
     {DType::float8_e5m2fnuz, at::kFloat8_e5m2fnuz}}};

at::Tensor on_cpu(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU).contiguous();
}

std::span<const std::byte> bytes_of(const at::Tensor& contiguous) {
  return {static_cast<const std::byte*>(contiguous.const_data_ptr()), contiguous.nbytes()};
}

}  // namespace

DType dtype_of(const at::Tensor& tensor) {
  for (const auto& [dtype, scalar_type] : kTypes) {
    if (scalar_type == tensor.scalar_type()) {
      return dtype;
    }
  }
  throw InputError(
      std::string("a tensor of type ") + c10::toString(tensor.scalar_type()) + " cannot be stored",
      "files hold float16/32/64, bfloat16, float8, bool and integers of 8 to 64 bits", "convert it first");
}

at::ScalarType scalar_type_of(DType dtype) {
  for (const auto& [candidate, scalar_type] : kTypes) {
    if (candidate == dtype) {
      return scalar_type;
    }
  }
  throw InputError("a tensor of type " + std::string(name_of(dtype)) + " cannot be computed with",
                   "LibTorch has no such elements", "read it as bytes");
}

void put_tensor(TensorFile& file, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor plain = on_cpu(tensor);
  file.put(name, dtype_of(plain), std::span(plain.sizes().data(), plain.sizes().size()), bytes_of(plain));
}

at::Tensor read_tensor(const TensorFile& file, const std::string& name) {
  const TensorInfo& info = file.info(name);
  at::Tensor tensor = at::empty(info.shape, at::TensorOptions(scalar_type_of(info.dtype)));
  file.read(name, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor;
}

at::Tensor tensor_of(const RawTensor& raw) {
  at::Tensor tensor = at::empty(raw.shape, at::TensorOptions(scalar_type_of(raw.dtype)));
  if (tensor.nbytes() != raw.bytes.size()) {
    throw std::invalid_argument("a raw tensor's bytes do not fit its shape");
  }
  if (!raw.bytes.empty()) {
    std::memcpy(tensor.mutable_data_ptr(), raw.bytes.data(), raw.bytes.size());
  }
  return tensor;
}

RawTensor raw_tensor_of(const at::Tensor& tensor) {
  const at::Tensor plain = on_cpu(tensor);
  const auto bytes = bytes_of(plain);
  return {dtype_of(plain), plain.sizes().vec(), {bytes.begin(), bytes.end()}};
}

TensorHash hash_tensors(const std::map<std::string, at::Tensor>& tensors) {
  TensorHash hash;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = on_cpu(tensor);
    hash.add(name, bytes_of(plain), plain.element_size());
  }
  return hash;
}

}  // namespace bitlaw::data
