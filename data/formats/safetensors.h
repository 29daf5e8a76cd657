// Files of format safetensors: named tensors and texts, as most published weights come. Torch-free.
//
//   file    = u64 N (little-endian) | N bytes of UTF-8 JSON | data, to the end of the file
//   JSON    = {"<name>": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
//              "__metadata__": {"<key>": "<text>", ...}}
// Offsets count from the first byte of the data; the tensors tile the data without holes or overlaps; bytes
// are little-endian and row-major. dtype names: kSafetensorsTypes in safetensors_header.h.
//
// Every byte is taken for hostile: everything that the header says is checked against the file before the
// first tensor is read, and memory is bounded by the header (at most kLargestSafetensorsHeader bytes), not by
// what it claims. Errors: InputError naming the path, the tensor, the value and what to do.
//
// A reader may be used by several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/formats/file_io.h"
#include "data/formats/raw_tensor.h"

namespace bitlaw::data {

struct SafetensorsFile {
  std::map<std::string, RawTensor> tensors;
  std::map<std::string, std::string> metadata;

  bool operator==(const SafetensorsFile&) const = default;
};

struct SafetensorsEntry {
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // of its bytes, counted from the first byte of the data
  std::uint64_t end = 0;

  bool operator==(const SafetensorsEntry&) const = default;
};

// What the JSON says.
struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;  // by name
  std::map<std::string, std::string> metadata;
};

class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, SafetensorsEntry>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  bool contains(const std::string& name) const { return header_.tensors.count(name) != 0; }
  const SafetensorsEntry& entry(const std::string& name) const;  // InputError when it is not there
  RawTensor read(const std::string& name) const;                 // one pread of just its bytes

 private:
  std::filesystem::path path_;
  FileHandle file_;
  SafetensorsHeader header_;
  std::uint64_t data_begin_ = 0;  // in the file
};

SafetensorsFile read_safetensors(const std::filesystem::path& path);  // all of it into memory

// Writes PATH.tmp-<pid>, flushes and renames it; an error leaves nothing. Tensors lie widest element first,
// then by name, the header is padded with spaces to a multiple of 8 bytes: equal contents give equal files.
// std::invalid_argument: a name that a reader would refuse, bytes that do not fit a shape.
void write_safetensors(const std::filesystem::path& path, const SafetensorsFile& file);

// The same for what does not fit into memory: `bytes_of(name)` is called once a tensor, in the order of the
// file. begin and end of the entries are not looked at.
void write_safetensors(const std::filesystem::path& path, const SafetensorsHeader& header,
                       const std::function<std::vector<std::byte>(const std::string& name)>& bytes_of);

}  // namespace bitlaw::data
