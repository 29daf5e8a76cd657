// A file that is there whole or not at all: bytes go to a temporary name, commit() publishes them.
// Torch-free.
//
// Errors: InputError of the disk (file_io.h). One object belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "data/formats/file_io.h"

namespace bitlaw::data {

class NewFile {
 public:
  explicit NewFile(std::filesystem::path path);  // creates PATH.tmp-<pid>
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();  // removes the temporary file unless it was committed

  std::uint64_t size() const { return size_; }
  void append(std::span<const std::byte> bytes);
  void pad(std::uint64_t alignment);  // zeros up to a multiple of it
  void commit();                      // flushes, renames, flushes the folder

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty when committed
  FileHandle file_;
  std::uint64_t size_ = 0;
};

}  // namespace bitlaw::data
