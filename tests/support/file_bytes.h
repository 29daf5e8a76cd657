// Whole files as strings, and the message of what is refused.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::test {

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Message of the InputError that `action` throws; "" when it throws none.
template <typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "";
}

// Bytes of a number, little-endian.
template <typename T>
std::string little(T number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 255U));
  }
  return bytes;
}

}  // namespace bitlaw::test
