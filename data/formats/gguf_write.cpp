// Writes GGUF files: the header in memory, then tensor after tensor.
#include <set>
#include <stdexcept>

#include "data/formats/gguf_file.h"
#include "data/formats/gguf_header.h"
#include "data/formats/little_endian.h"
#include "data/formats/new_file.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 62;

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument(what);
}

class Bytes {
 public:
  std::span<const std::byte> get() const { return bytes_; }

  void put(bool value) { put(static_cast<std::uint8_t>(value ? 1 : 0)); }

  template <typename T>
  requires std::is_arithmetic_v<T>
  void put(T number) {
    for (const std::byte byte : to_little_endian(number)) {  // GCC 12 sees an overflow in an insert of these
      bytes_.push_back(byte);
    }
  }

  void put(const std::string& text) {
    put(static_cast<std::uint64_t>(text.size()));
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  void put(const GgufArray& array) {
    if (++depth_ > kDeepestGgufArray) {
      refuse("arrays in arrays, more than " + std::to_string(kDeepestGgufArray) + " levels");
    }
    put(static_cast<std::uint32_t>(array.elements.index()));
    std::visit(
        [this](const auto& elements) {
          put(static_cast<std::uint64_t>(elements.size()));
          for (const auto& element : elements) {
            put(element);
          }
        },
        array.elements);
    --depth_;
  }

 private:
  std::vector<std::byte> bytes_;
  int depth_ = 0;
};

void check_name(const std::string& name, std::set<std::string>& seen, std::size_t longest) {
  const std::string problem = name_problem(name);
  if (!problem.empty() || name.size() > longest || !seen.insert(name).second) {
    refuse("'" + printable(name) + "' " +
           (!problem.empty()        ? problem
            : name.size() > longest ? "is longer than " + std::to_string(longest) + " bytes"
                                    : "is there twice"));
  }
}

// Offsets and sizes of the tensors.
std::vector<GgufTensorInfo> placed(const GgufHeader& header, std::uint64_t alignment) {
  std::vector<GgufTensorInfo> infos = header.tensors;
  std::set<std::string> names;
  std::uint64_t end = 0;
  for (GgufTensorInfo& info : infos) {
    check_name(info.name, names, kLongestGgufName);
    const auto bytes = ggml_byte_count(info.type, info.dims);
    info.offset = aligned(end, alignment);
    if (!bytes || __builtin_add_overflow(info.offset, *bytes, &end) || end > kLargestFile) {
      refuse("tensor '" + info.name + "' has a shape that no GGUF file holds in blocks of " +
             std::string(facts_of(info.type).name));
    }
    info.bytes = *bytes;
  }
  return infos;
}

Bytes header_bytes(const GgufHeader& header, std::span<const GgufTensorInfo> infos) {
  Bytes bytes;
  bytes.put(std::uint32_t{0x46554747U});  // "GGUF"
  bytes.put(std::uint32_t{3});
  bytes.put(static_cast<std::uint64_t>(infos.size()));
  bytes.put(static_cast<std::uint64_t>(header.values.size()));
  std::set<std::string> keys;
  for (const auto& [key, value] : header.values) {
    check_name(key, keys, kLongestTensorName);
    bytes.put(key);
    bytes.put(static_cast<std::uint32_t>(value.index()));
    std::visit([&](const auto& plain) { bytes.put(plain); }, value);
  }
  for (const GgufTensorInfo& info : infos) {
    bytes.put(info.name);
    bytes.put(static_cast<std::uint32_t>(info.dims.size()));
    for (const std::uint64_t extent : info.dims) {
      bytes.put(extent);
    }
    bytes.put(static_cast<std::uint32_t>(info.type));
    bytes.put(info.offset);
  }
  return bytes;
}

}  // namespace

void write_gguf(const std::filesystem::path& path, const GgufHeader& header,
                const std::function<std::vector<std::byte>(const std::string&)>& bytes_of) {
  const std::uint64_t alignment = gguf_alignment(header, refuse);
  const std::vector<GgufTensorInfo> infos = placed(header, alignment);
  const Bytes bytes = header_bytes(header, infos);
  if (bytes.get().size() > kLargestGgufHeader) {
    refuse("the header has " + std::to_string(bytes.get().size()) + " bytes, more than readers take");
  }
  NewFile file(path);
  file.append(bytes.get());
  for (const GgufTensorInfo& info : infos) {
    file.pad(alignment);
    const std::vector<std::byte> blocks = bytes_of(info.name);
    if (blocks.size() != info.bytes) {
      refuse("tensor '" + info.name + "' has " + std::to_string(blocks.size()) + " bytes, its shape needs " +
             std::to_string(info.bytes));
    }
    file.append(blocks);
  }
  file.pad(alignment);
  file.commit();
}

}  // namespace bitlaw::data
