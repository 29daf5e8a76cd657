// Zip archives of entries that are stored as they are, as torch.save writes them. Torch-free.
//
//   archive    = (local header | bytes | [descriptor])... | central directory | [zip64 end | zip64 locator] |
//   end
// Sizes and places come from the central directory; each local header must tell the same. Archives
// in several parts, entries that overlap or leave holes, and names that are twice there or leave the folder
// ("../x", "/x") are refused, and so is reading an entry that is compressed or encrypted. Memory is bounded
// by the central directory, at most kLargestZipDirectory bytes.
//
// Errors: InputError naming the path, the entry, the value and what to do. May be used by several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/formats/file_io.h"

namespace bitlaw::data {

inline constexpr std::uint64_t kLargestZipDirectory = std::uint64_t{1} << 26;  // bytes

struct ZipEntry {
  std::uint64_t offset = 0;  // of its first byte in the file
  std::uint64_t size = 0;
  std::uint32_t crc = 0;  // 0: writers that did not compute it
  bool is_stored = true;  // as it is; compressed or encrypted ones are listed, but not read
};

class ZipArchive {
 public:
  explicit ZipArchive(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, ZipEntry>& entries() const { return entries_; }
  const ZipEntry* find(const std::string& name) const;  // null: not there
  // All bytes of an entry, CRC checked; `largest` is the most that is believed.
  std::vector<std::byte> read(const std::string& name, std::uint64_t largest) const;
  // Bytes [begin, begin + into.size()) of an entry that is there, CRC not checked.
  void read_range(const std::string& name, std::uint64_t begin, std::span<std::byte> into) const;
  // Reads the entry once, in pieces. InputError when its bytes have another CRC; so does check_crc.
  void verify(const std::string& name) const;
  void check_crc(const std::string& name, std::uint32_t crc) const;

 private:
  std::filesystem::path path_;
  FileHandle file_;
  std::map<std::string, ZipEntry> entries_;
};

// The central directory of `file`, checked against the local headers.
std::map<std::string, ZipEntry> read_zip_directory(const FileHandle& file, const std::filesystem::path& path);

}  // namespace bitlaw::data
