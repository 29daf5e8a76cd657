// The tensors of one layer in a container of others, by their name after the module's: taken out with every
// claim checked. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/raw_tensor.h"
#include "quant/spec.h"

namespace bitlaw::quant {

using Members = std::map<std::string, data::RawTensor>;

template <class T>
data::RawTensor raw_tensor(data::DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

std::string shape_text(std::span<const std::int64_t> shape);

// Takes members out by name; what is missing, of another type or shape, or left over is a data::InputError
// that names the member.
class MemberReader {
 public:
  MemberReader(const Members& members, std::string container)
      : members_(members), container_(std::move(container)) {}

  bool contains(const std::string& name) const { return members_.count(name) > 0; }
  // Any type and shape; its byte count fits them.
  const data::RawTensor& get(const std::string& name);
  // Of this number of dimensions.
  const data::RawTensor& get(const std::string& name, std::size_t dimensions);

  template <class T>
  std::vector<T> values(const std::string& name, data::DType dtype, const std::vector<std::int64_t>& shape) {
    const data::RawTensor& tensor = checked(name, dtype, shape);
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    if (!values.empty()) {
      std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(T));
    }
    return values;
  }

  // float16, bfloat16 or float32 -> float32; positive and finite.
  std::vector<float> scales(const std::string& name, const std::vector<std::int64_t>& shape, ScaleType& type);

  // Everything was taken.
  void finish() const;
  [[noreturn]] void fail(const std::string& what, const std::string& why) const;

 private:
  const data::RawTensor& checked(const std::string& name, data::DType dtype,
                                 const std::vector<std::int64_t>& shape);

  const Members& members_;
  std::string container_;
  std::set<std::string> taken_;
};

}  // namespace bitlaw::quant
