// Zip archives of stored entries, built by hand so that a test can make any of their numbers lie.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "data/formats/crc32.h"
#include "tests/support/file_bytes.h"

namespace bitlaw::test {

struct ZipPart {
  std::string name;
  std::string bytes;
};

inline std::uint32_t crc_of(const std::string& bytes) {
  return data::crc32(std::as_bytes(std::span(bytes)));
}

inline std::string zip_sizes(const ZipPart& part) {
  const auto size = static_cast<std::uint32_t>(part.bytes.size());
  return little(crc_of(part.bytes)) + little(size) + little(size) +
         little(static_cast<std::uint16_t>(part.name.size())) + little(std::uint16_t{0});
}

inline std::string zip_local(const ZipPart& part) {
  return "PK\x03\x04" + little(std::uint16_t{20}) + std::string(8, '\0') + zip_sizes(part) + part.name +
         part.bytes;
}

inline std::string zip_central(const ZipPart& part, std::size_t offset) {
  return "PK\x01\x02" + little(std::uint16_t{20}) + little(std::uint16_t{20}) + std::string(8, '\0') +
         zip_sizes(part) + std::string(10, '\0') + little(static_cast<std::uint32_t>(offset)) + part.name;
}

inline std::string zip_end(std::size_t entries, std::size_t directory_bytes, std::size_t directory_begin) {
  const std::string count = little(static_cast<std::uint16_t>(entries));
  return "PK\x05\x06" + std::string(4, '\0') + count + count +
         little(static_cast<std::uint32_t>(directory_bytes)) +
         little(static_cast<std::uint32_t>(directory_begin)) + std::string(2, '\0');
}

inline std::string zip_bytes(const std::vector<ZipPart>& parts) {
  std::string bytes;
  std::string directory;
  for (const ZipPart& part : parts) {
    directory += zip_central(part, bytes.size());
    bytes += zip_local(part);
  }
  return bytes + directory + zip_end(parts.size(), directory.size(), bytes.size());
}

}  // namespace bitlaw::test
