// Members one after the other, tensors after their extents.
#include "quant/methods/codes_message.h"

#include <ATen/ATen.h>

#include <cstring>
#include <stdexcept>
#include <vector>

namespace bitlaw::quant {

namespace {

constexpr std::int64_t kUndefined = -1;  // instead of a number of extents

class Writer {
 public:
  void number(std::int64_t value) { append(&value, sizeof value); }
  void tensor(const at::Tensor& value) {
    number(value.defined() ? value.dim() : kUndefined);
    if (!value.defined()) {
      return;
    }
    for (const std::int64_t extent : value.sizes()) {
      number(extent);
    }
    const at::Tensor values = value.contiguous();
    append(values.const_data_ptr(), values.nbytes());
  }
  at::Tensor message() const { return at::tensor(at::ArrayRef<std::uint8_t>(bytes_), at::kByte); }

 private:
  void append(const void* from, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(from);
    bytes_.insert(bytes_.end(), first, first + size);
  }
  std::vector<std::uint8_t> bytes_;
};

class Reader {
 public:
  explicit Reader(const at::Tensor& message) : message_(message.contiguous()) {}
  std::int64_t number() {
    std::int64_t value = 0;
    take(&value, sizeof value);
    return value;
  }
  at::Tensor tensor(at::ScalarType type) {
    const std::int64_t dimensions = number();
    if (dimensions == kUndefined) {
      return {};
    }
    std::vector<std::int64_t> extents;
    for (std::int64_t i = 0; i < dimensions; ++i) {
      extents.push_back(number());
    }
    at::Tensor value = at::empty(extents, type);
    take(value.mutable_data_ptr(), value.nbytes());
    return value;
  }
  bool is_at_end() const { return position_ == message_.nbytes(); }

 private:
  void take(void* into, std::size_t size) {
    if (size > message_.nbytes() - position_) {
      throw std::invalid_argument("the codes of a layer end early");
    }
    std::memcpy(into, static_cast<const std::uint8_t*>(message_.const_data_ptr()) + position_, size);
    position_ += size;
  }
  at::Tensor message_;
  std::size_t position_ = 0;
};

}  // namespace

at::Tensor to_message(const LayerCodes& codes) {
  Writer writer;
  writer.tensor(codes.codes);
  for (const at::Tensor* values :
       {&codes.scale, &codes.scale_negative, &codes.zero_point, &codes.input_multiplier}) {
    writer.tensor(*values);
  }
  writer.tensor(codes.group_index);
  writer.tensor(codes.global_scale ? at::full({1}, *codes.global_scale) : at::Tensor());
  writer.number(codes.hadamard_block);
  return writer.message();
}

LayerCodes from_message(const at::Tensor& message) {
  Reader reader(message);
  LayerCodes codes;
  codes.codes = reader.tensor(at::kByte);
  for (at::Tensor* values :
       {&codes.scale, &codes.scale_negative, &codes.zero_point, &codes.input_multiplier}) {
    *values = reader.tensor(at::kFloat);
  }
  codes.group_index = reader.tensor(at::kInt);
  if (const at::Tensor global = reader.tensor(at::kFloat); global.defined()) {
    codes.global_scale = global.item<float>();
  }
  codes.hadamard_block = reader.number();
  if (!reader.is_at_end()) {
    throw std::invalid_argument("the codes of a layer are followed by something else");
  }
  return codes;
}

}  // namespace bitlaw::quant
