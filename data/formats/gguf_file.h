// Files of format GGUF version 3: key-values and named tensors in ggml's block types. Torch-free.
//
//   file   = "GGUF" | u32 3 | u64 tensors | u64 key-values | key-value... | info... | zeros up to the
//   alignment | data key-value = string key | u32 type | value        string = u64 length | bytes value  =
//   number | bool (a byte, 0 or 1) | string | array: u32 element type | u64 count | element... info   =
//   string name | u32 dimensions (1 to 4) | u64 extent... | u32 ggml type | u64 offset
// Everything is little-endian. Extents: **innermost first**, so a weight [out, in] is {in, out}. Offsets
// count from the first byte of the data and are multiples of the alignment (key general.alignment, u32,
// default 32); between tensors lie fewer bytes than that.
//
// Every byte is taken for hostile: all of the header is checked against the file before the first tensor is
// read; it may have kLargestGgufHeader bytes, kMostGgufNames keys and as many tensors, kMostGgufObjects texts
// and arrays in arrays of kDeepestGgufArray levels: small things take ten times their bytes in memory.
// Errors: InputError naming the path, the key or the tensor, the value and what to do.
//
// A reader may be used by several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "data/formats/file_io.h"
#include "data/formats/gguf_types.h"

namespace bitlaw::data {

inline constexpr std::uint64_t kLargestGgufHeader = std::uint64_t{1} << 27;  // bytes
inline constexpr int kDeepestGgufArray = 4;
inline constexpr std::uint64_t kMostGgufNames = std::uint64_t{1} << 18;    // of keys, and of tensors
inline constexpr std::uint64_t kMostGgufObjects = std::uint64_t{1} << 22;  // texts and arrays in arrays
inline constexpr std::uint64_t kGgufAlignment = 32;                        // without the key
inline constexpr std::size_t kLongestGgufName = 63;  // bytes of a tensor's name that ggml holds
inline constexpr const char* kGgufAlignmentKey = "general.alignment";

struct GgufArray;
// Alternative i of the variant has type id i, as the file has it.
using GgufValue =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                 bool, std::string, GgufArray, std::uint64_t, std::int64_t, double>;

struct GgufArray {
  // The same, of elements; arrays of arrays may differ in type.
  std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
               std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
               std::vector<float>, std::vector<bool>, std::vector<std::string>, std::vector<GgufArray>,
               std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>
      elements;

  bool operator==(const GgufArray&) const = default;
};

struct GgufTensorInfo {
  std::string name;
  GgmlType type = GgmlType::f32;
  std::vector<std::uint64_t> dims;  // innermost first
  std::uint64_t offset = 0;         // from the first byte of the data
  std::uint64_t bytes = 0;

  bool operator==(const GgufTensorInfo&) const = default;
};

// What stands before the data, in the order of the file.
struct GgufHeader {
  std::vector<std::pair<std::string, GgufValue>> values;
  std::vector<GgufTensorInfo> tensors;
};

class GgufReader {
 public:
  explicit GgufReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const GgufHeader& header() const { return header_; }
  const GgufValue* find_value(const std::string& key) const;  // null: not there
  bool contains(const std::string& name) const { return by_name_.count(name) != 0; }
  const GgufTensorInfo& info(const std::string& name) const;   // InputError when it is not there
  std::vector<std::byte> read(const std::string& name) const;  // one pread of just its blocks

 private:
  std::filesystem::path path_;
  FileHandle file_;
  GgufHeader header_;
  std::map<std::string, std::size_t> by_name_;
  std::uint64_t data_begin_ = 0;  // in the file
};

// Writes PATH.tmp-<pid>, flushes and renames it; an error leaves nothing. Key-values and tensors keep their
// order; offset and bytes of the infos are not looked at. `bytes_of(name)` is called once a tensor, in that
// order. std::invalid_argument: what a reader would refuse (names twice or longer than kLongestGgufName, a
// row that is no whole number of blocks, bytes that do not fit, an alignment that is no power of two).
void write_gguf(const std::filesystem::path& path, const GgufHeader& header,
                const std::function<std::vector<std::byte>(const std::string& name)>& bytes_of);

}  // namespace bitlaw::data
