// Small tensor files to damage, and what a reader says of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"

namespace bitlaw::test {

inline void put_bytes(data::TensorFile& file, const std::string& name, std::size_t size) {
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(size)};
  file.put(name, data::DType::uint8, shape, std::vector<std::byte>(size, std::byte{0x5A}));
}

inline void make_file(const std::filesystem::path& path, std::size_t size = 4096) {
  data::TensorFile file = data::TensorFile::create(path);
  put_bytes(file, "group/tensor", size);
  put_bytes(file, "other", 100);
  file.put_text("", "config", "model: {family: var}");
  file.put_integer("group", "num_bits", 3);
  file.commit();
}

// Opens the file and reads all of it.
inline std::string message_of_reading(const std::filesystem::path& path) {
  try {
    const data::TensorFile file = data::TensorFile::open(path);
    for (const std::string& name : file.names()) {
      std::vector<std::byte> bytes(file.info(name).byte_count());
      file.read(name, bytes);
    }
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace bitlaw::test
