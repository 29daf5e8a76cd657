#include "data/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "data/formats/input_error.h"
#include "data/formats/little_endian.h"
#include "data/formats/new_file.h"
#include "data/formats/safetensors_header.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

constexpr std::uint64_t kPrefix = 8;  // bytes of N

std::string read_header_text(const FileHandle& file, const std::filesystem::path& path) {
  const std::uint64_t size = file_size(file, path);
  std::array<std::byte, kPrefix> prefix{};
  read_fully(file, prefix, 0, path);
  const auto length = from_little_endian<std::uint64_t>(prefix);
  if (length > kLargestSafetensorsHeader) {
    throw InputError(
        path.string() + ": its first eight bytes give a header of " + std::to_string(length) + " bytes",
        "the format allows " + std::to_string(kLargestSafetensorsHeader),
        "name a file of format safetensors");
  }
  if (length > size - kPrefix) {
    throw InputError(path.string() + ": the header has " + std::to_string(length) + " bytes, the file " +
                         std::to_string(size),
                     "the file is truncated or not of format safetensors",
                     "get the file again from where it came");
  }
  std::string text(length, '\0');
  read_fully(file, std::as_writable_bytes(std::span(text)), kPrefix, path);
  return text;
}

// Widest first, in the order of the format's list; then by name.
std::vector<std::string> order_of(const SafetensorsHeader& header) {
  std::vector<std::string> order;
  for (std::size_t i = kSafetensorsTypes.size(); i-- > 0;) {
    for (const auto& [name, entry] : header.tensors) {
      if (entry.dtype == kSafetensorsTypes.at(i).second) {
        order.push_back(name);
      }
    }
  }
  return order;
}

void place(SafetensorsHeader& header, std::span<const std::string> order) {
  std::uint64_t end = 0;
  for (const std::string& name : order) {
    SafetensorsEntry& entry = header.tensors.at(name);
    const auto bytes = byte_count(entry.dtype, entry.shape);
    const std::string problem = name == "__metadata__" ? "is taken" : name_problem(name);
    if (!problem.empty() || !bytes) {
      throw std::invalid_argument("tensor '" + printable(name) + "' " +
                                  (problem.empty() ? "has a shape that no file can hold" : problem));
    }
    entry.begin = end;
    if (__builtin_add_overflow(end, *bytes, &end)) {
      throw std::invalid_argument("the tensors are larger than any file");
    }
    entry.end = end;
  }
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path)
    : path_(path), file_(open_for_reading(path)) {
  const std::string text = read_header_text(file_, path);
  data_begin_ = kPrefix + text.size();
  header_ = parse_safetensors_header(text, file_size(file_, path) - data_begin_, path.string());
}

const SafetensorsEntry& SafetensorsReader::entry(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) {
    throw InputError(path_.string() + ": tensor '" + printable(name) + "' is missing", "it is to be read",
                     "check that this is the file of that model");
  }
  return found->second;
}

RawTensor SafetensorsReader::read(const std::string& name) const {
  const SafetensorsEntry& found = entry(name);
  RawTensor tensor{found.dtype, found.shape, std::vector<std::byte>(found.end - found.begin)};
  read_fully(file_, tensor.bytes, data_begin_ + found.begin, path_);
  return tensor;
}

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  const SafetensorsReader reader(path);
  SafetensorsFile file;
  file.metadata = reader.metadata();
  for (const auto& [name, entry] : reader.tensors()) {
    file.tensors.emplace(name, reader.read(name));
  }
  return file;
}

void write_safetensors(const std::filesystem::path& path, const SafetensorsHeader& header,
                       const std::function<std::vector<std::byte>(const std::string&)>& bytes_of) {
  SafetensorsHeader placed = header;
  const std::vector<std::string> order = order_of(placed);
  place(placed, order);
  const std::string text = safetensors_header_text(placed, order);
  if (text.size() > kLargestSafetensorsHeader) {
    throw std::invalid_argument("the header has " + std::to_string(text.size()) +
                                " bytes, more than readers take");
  }
  NewFile file(path);
  file.append(to_little_endian<std::uint64_t>(text.size()));
  file.append(std::as_bytes(std::span(text)));
  for (const std::string& name : order) {
    const SafetensorsEntry& entry = placed.tensors.at(name);
    const std::vector<std::byte> bytes = bytes_of(name);
    if (bytes.size() != entry.end - entry.begin) {
      throw std::invalid_argument("tensor '" + printable(name) + "' has " + std::to_string(bytes.size()) +
                                  " bytes, its shape needs " + std::to_string(entry.end - entry.begin));
    }
    file.append(bytes);
  }
  file.commit();
}

void write_safetensors(const std::filesystem::path& path, const SafetensorsFile& file) {
  SafetensorsHeader header{{}, file.metadata};
  for (const auto& [name, tensor] : file.tensors) {
    header.tensors.emplace(name, SafetensorsEntry{tensor.dtype, tensor.shape, 0, 0});
  }
  write_safetensors(path, header, [&](const std::string& name) { return file.tensors.at(name).bytes; });
}

}  // namespace bitlaw::data
