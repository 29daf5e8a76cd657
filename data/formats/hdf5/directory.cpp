// Look-ups in the directory of a file, and the rules for names that are added to it.
#include "data/formats/hdf5/directory.h"

#include <stdexcept>

namespace bitlaw::data::hdf5 {

std::optional<DType> stored_as(DType dtype) {
  switch (dtype) {
    case DType::bfloat16:
      return DType::uint16;
    case DType::boolean:
    case DType::float8_e4m3fn:
    case DType::float8_e5m2:
    case DType::float8_e8m0fnu:
    case DType::float8_e4m3fnuz:
    case DType::float8_e5m2fnuz:
      return DType::uint8;
    case DType::complex64:
    case DType::float4_e2m1:
    case DType::float6_e2m3:
    case DType::float6_e3m2:
      return std::nullopt;
    default:
      return dtype;
  }
}

const Attribute* Directory::find(const std::string& group, const std::string& key) const {
  const auto entries = attributes.find(group);
  if (entries == attributes.end()) {
    return nullptr;
  }
  const auto found = entries->second.find(key);
  return found == entries->second.end() ? nullptr : &found->second;
}

void Directory::add_group(const std::string& group) {
  for (std::size_t end = group.find('/'); end != std::string::npos; end = group.find('/', end + 1)) {
    attributes[group.substr(0, end)];
  }
  attributes[group];
}

void Directory::check_group(const std::string& group) const {
  for (std::size_t end = 0; end != std::string::npos && !group.empty();) {
    end = group.find('/', end + 1);
    if (tensors.count(group.substr(0, end)) != 0) {
      throw std::invalid_argument("group " + group + " would lie inside a tensor");
    }
  }
}

void Directory::check_free(const std::string& name) const {
  if (tensors.count(name) != 0 || attributes.count(name) != 0) {
    throw std::invalid_argument("tensor or group " + name + " is there already");
  }
  check_group(group_of(name));
}

std::string group_of(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

}  // namespace bitlaw::data::hdf5
