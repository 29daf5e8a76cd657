#include "data/formats/gguf_file.h"

#include "data/formats/gguf_header.h"
#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

GgufReader::GgufReader(const std::filesystem::path& path) : path_(path), file_(open_for_reading(path)) {
  ParsedGgufHeader parsed = parse_gguf_header(file_, path_);
  header_ = std::move(parsed.header);
  data_begin_ = parsed.data_begin;
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    by_name_.emplace(header_.tensors[i].name, i);
  }
}

const GgufValue* GgufReader::find_value(const std::string& key) const {
  for (const auto& [known, value] : header_.values) {
    if (known == key) {
      return &value;
    }
  }
  return nullptr;
}

const GgufTensorInfo& GgufReader::info(const std::string& name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    throw InputError(path_.string() + ": tensor '" + printable(name) + "' is missing", "it is to be read",
                     "check that this is the file of that model");
  }
  return header_.tensors[found->second];
}

std::vector<std::byte> GgufReader::read(const std::string& name) const {
  const GgufTensorInfo& found = info(name);
  std::vector<std::byte> bytes(found.bytes);
  read_fully(file_, bytes, data_begin_ + found.offset, path_);
  return bytes;
}

}  // namespace bitlaw::data
