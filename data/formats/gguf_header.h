// What stands before the data of a GGUF file: parsed without trust, and laid out for writing. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "data/formats/gguf_file.h"

namespace bitlaw::data {

struct ParsedGgufHeader {
  GgufHeader header;
  std::uint64_t data_begin = 0;  // in the file
};

// Everything is checked, also that the tensors' blocks lie inside the file, side by side.
ParsedGgufHeader parse_gguf_header(const FileHandle& file, const std::filesystem::path& path);

// The alignment that the key-values state; `fail` (does not return) is called when that is no power of two.
std::uint64_t gguf_alignment(const GgufHeader& header, const std::function<void(const std::string&)>& fail);

// InputError: tensors that overlap, leave holes, reach beyond `data_bytes` or leave bytes behind them.
void check_gguf_places(const GgufHeader& header, std::uint64_t data_bytes, std::uint64_t alignment,
                       const std::string& origin);

inline std::uint64_t aligned(std::uint64_t position, std::uint64_t alignment) {
  return (position + alignment - 1) / alignment * alignment;
}

}  // namespace bitlaw::data
