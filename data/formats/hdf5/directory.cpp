// The checksum over a file's directory.
#include "data/formats/hdf5/directory.h"

#include <span>

#include "data/formats/checksum.h"

namespace bitlaw::data::hdf5 {

namespace {

// Lengths before contents, so that no two directories give one text.
void append(std::string& text, const std::string& part) {
  text += std::to_string(part.size()) + ":" + part;
}

void append(std::string& text, const std::vector<std::int64_t>& values) {
  text += std::to_string(values.size()) + "[";
  for (const std::int64_t value : values) {
    text += std::to_string(value) + ",";
  }
  text += "]";
}

void append(std::string& text, const Attribute& value) {
  if (const auto* string = std::get_if<std::string>(&value)) {
    text += "t";
    append(text, *string);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    text += "i" + std::to_string(*integer);
  } else {
    text += "l";
    append(text, std::get<std::vector<std::int64_t>>(value));
  }
}

}  // namespace

std::string Directory::checksum() const {
  std::string text;
  for (const auto& [name, tensor] : tensors) {
    text += "T";
    append(text, name);
    append(text, std::string(name_of(tensor.info.dtype)));
    append(text, tensor.info.shape);
    append(text, to_hex(tensor.info.checksum));
  }
  for (const auto& [group, entries] : attributes) {
    text += "G";
    append(text, group);
    for (const auto& [key, value] : entries) {
      text += "A";
      append(text, key);
      append(text, value);
    }
  }
  return to_hex(xxh64(std::as_bytes(std::span(text))));
}

}  // namespace bitlaw::data::hdf5
