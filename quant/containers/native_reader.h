// Reads bitlaw's own file of a quantised model: the parts that native_read.cpp (structure) and
// native_read_weight.cpp (weights and specs) share. Torch-free.
#pragma once

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "data/formats/field.h"
#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"
#include "quant/containers/native.h"
#include "quant/containers/native_layout.h"

namespace bitlaw::quant::native {

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : file_(data::TensorFile::open(path)) {}

  PackedModel read();

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& why) const {
    throw data::InputError(file_.path().string() + ": " + what, why, "export the model again");
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw data::InputError(file_.path().string() + ": " + what,
                           "format version " + std::to_string(version_) +
                               " does not define it, and ignoring it could change the weights",
                           "read the file with the version of bitlaw that wrote it");
  }

  void check_version();
  void read_attributes();
  void check_members() const;
  void check_weight_member(const std::string& name) const;
  void check_group(const std::string& group, const std::set<std::string>& known) const;
  QuantSpecFields read_fields(const std::string& group) const;
  PackedTensor read_weight(const std::string& module) const;
  void check_input_member(const std::string& name) const;
  void check_input_strategy(const std::string& group, const QuantSpecFields& fields) const;
  PackedInput read_activation(const std::string& module) const;
  ScaleType scale_type(const std::string& group) const;
  std::set<std::string> known_attributes(const QuantSpecFields& fields,
                                         const std::set<std::string>& more) const;
  std::vector<float> read_scales(const std::string& name, ScaleType type,
                                 const std::vector<std::int64_t>& shape) const;
  void read_zero_points(const std::string& group, const std::vector<std::int64_t>& shape,
                        PackedTensor& packed) const;
  void read_later_members(const std::string& group, const std::vector<std::int64_t>& shape,
                          PackedTensor& packed) const;
  bool has_attribute(const std::string& group, const std::string& key) const;
  std::vector<std::byte> read_bytes(const std::string& name, const std::vector<std::int64_t>& shape) const;

  template <class Enum>
  Enum read_enum(const std::string& group, const std::string& key) const;
  template <class T>
  std::vector<T> read_values(const std::string& name, data::DType dtype,
                             const std::vector<std::int64_t>& shape) const;

  data::TensorFile file_;
  std::int64_t version_ = 0;
  PackedModel model_;
};

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

template <class T>
std::vector<T> Reader::read_values(const std::string& name, data::DType dtype,
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

}  // namespace bitlaw::quant::native
