// Whole reads and writes on POSIX files, with errors that a user can act on. Torch-free.
//
// Errors: InputError naming the path, what was being done, and what the system said (disk full, read-only,
// input/output error, no such folder). All functions may be called from several threads on different files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::data {

// Owner of a file descriptor.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  ~FileHandle();

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// What errno value `code` means for someone who was `doing` something to `path`.
InputError file_error(const std::filesystem::path& path, const std::string& doing, int code);

FileHandle open_for_reading(const std::filesystem::path& path);    // regular files only
FileHandle create_for_writing(const std::filesystem::path& path);  // replaces what is there
FileHandle open_for_writing(const std::filesystem::path& path);    // keeps what is there
std::uint64_t file_size(const FileHandle& file, const std::filesystem::path& path);
void write_fully(const FileHandle& file, std::span<const std::byte> bytes, std::uint64_t offset,
                 const std::filesystem::path& path);
// InputError "truncated" when the file ends before the span is full.
void read_fully(const FileHandle& file, std::span<std::byte> into, std::uint64_t offset,
                const std::filesystem::path& path);
void resize_file(const FileHandle& file, std::uint64_t size, const std::filesystem::path& path);

// Flushes `file` (which lies at `from`), renames it to `to` and flushes the folder: afterwards `to` holds all
// of it, even if the machine loses power; before, `to` is what it was.
void publish_file(const FileHandle& file, const std::filesystem::path& from, const std::filesystem::path& to);
void sync_folder(const std::filesystem::path& folder);

std::filesystem::path temporary_name(const std::filesystem::path& path);  // PATH.tmp-<pid>
std::string read_text_file(const std::filesystem::path& path);
// Atomic: temporary name, publish_file. Nothing is left behind on an error.
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_text_file(const std::filesystem::path& path, const std::string& text);

}  // namespace bitlaw::data
