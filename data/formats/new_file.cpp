#include "data/formats/new_file.h"

#include <unistd.h>

#include <utility>
#include <vector>

namespace bitlaw::data {

NewFile::NewFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(temporary_name(path_)), file_(create_for_writing(temporary_)) {}

NewFile::~NewFile() {
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
  }
}

void NewFile::append(std::span<const std::byte> bytes) {
  write_fully(file_, bytes, size_, temporary_);
  size_ += bytes.size();
}

void NewFile::pad(std::uint64_t alignment) {
  append(std::vector<std::byte>((alignment - size_ % alignment) % alignment));
}

void NewFile::commit() {
  publish_file(file_, temporary_, path_);
  temporary_.clear();
}

}  // namespace bitlaw::data
