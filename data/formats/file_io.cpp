// Whole reads and writes on POSIX files, with errors that a user can act on.
#include "data/formats/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace bitlaw::data {

namespace {

// One call moves at most this much: Linux stops at 2 GiB - 4 KiB.
constexpr std::size_t kLargestTransfer = std::size_t{1} << 30;

std::string remedy_for(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "free space, or name a folder on another disk";
    case EROFS:
    case EACCES:
    case EPERM:
      return "change the permissions, or name another folder";
    case ENOENT:
    case ENOTDIR:
      return "check the path";
    case EIO:
      return "ask whoever runs the storage; the disk or the network file system is at fault";
    default:
      return "check the file and its folder";
  }
}

}  // namespace

InputError file_error(const std::filesystem::path& path, const std::string& doing, int code) {
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  return InputError(
      path.string() + ": cannot " + doing + (full ? ", disk full" : "") + " (" + std::strerror(code) + ")",
      "the file is needed whole", remedy_for(code));
}

FileHandle::FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileHandle::~FileHandle() {
  if (is_open()) {
    ::close(descriptor_);
  }
}

FileHandle open_for_reading(const std::filesystem::path& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (errno == ENOENT || errno == ENOTDIR) {
      throw InputError(path.string() + " is missing", "it is to be read", "check the path");
    }
    throw file_error(path, "open it for reading", errno);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw file_error(path, "read its size", errno);
  }
  if (!S_ISREG(status.st_mode)) {
    throw InputError(path.string() + " is not a regular file", "its bytes are read at any offset",
                     "name a file");
  }
  return file;
}

namespace {

FileHandle open_with(const std::filesystem::path& path, int flags) {
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0666));
  if (!file.is_open()) {
    throw file_error(path, "create it", errno);
  }
  return file;
}

}  // namespace

FileHandle create_for_writing(const std::filesystem::path& path) {
  return open_with(path, O_TRUNC);
}

FileHandle open_for_writing(const std::filesystem::path& path) {
  return open_with(path, 0);
}

std::uint64_t file_size(const FileHandle& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw file_error(path, "read its size", errno);
  }
  return static_cast<std::uint64_t>(status.st_size);
}

void write_fully(const FileHandle& file, std::span<const std::byte> bytes, std::uint64_t offset,
                 const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file.get(), bytes.data(), std::min(bytes.size(), kLargestTransfer),
                                  static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done <= 0) {
      throw file_error(path, "write it", done == 0 ? ENOSPC : errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void read_fully(const FileHandle& file, std::span<std::byte> into, std::uint64_t offset,
                const std::filesystem::path& path) {
  const std::uint64_t end = offset + into.size();
  while (!into.empty()) {
    const ssize_t done =
        ::pread(file.get(), into.data(), std::min(into.size(), kLargestTransfer), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done < 0) {
      throw file_error(path, "read it", errno);
    }
    if (done == 0) {
      throw InputError(path.string() + " is truncated (" + std::to_string(file_size(file, path)) + " of " +
                           std::to_string(end) + " bytes)",
                       "its end is missing", "copy or make the file again");
    }
    into = into.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void resize_file(const FileHandle& file, std::uint64_t size, const std::filesystem::path& path) {
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    throw file_error(path, "set its size", errno);
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? std::filesystem::path(".") : folder;
  const FileHandle handle(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some network file systems cannot flush a folder (EINVAL): their rename is durable by itself.
  if (!handle.is_open() || (::fsync(handle.get()) != 0 && errno != EINVAL)) {
    throw file_error(name, "flush this folder", errno);
  }
}

void publish_file(const FileHandle& file, const std::filesystem::path& from,
                  const std::filesystem::path& to) {
  if (::fsync(file.get()) != 0) {
    throw file_error(from, "flush it", errno);
  }
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    throw file_error(to, "give a finished file this name", errno);
  }
  sync_folder(to.parent_path());
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  return path.string() + ".tmp-" + std::to_string(::getpid());
}

std::string read_text_file(const std::filesystem::path& path) {
  const FileHandle file = open_for_reading(path);
  std::string text(file_size(file, path), '\0');
  read_fully(file, std::as_writable_bytes(std::span(text)), 0, path);
  return text;
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  const std::filesystem::path temporary = temporary_name(path);
  const FileHandle file = create_for_writing(temporary);
  try {
    write_fully(file, bytes, 0, temporary);
    publish_file(file, temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void write_text_file(const std::filesystem::path& path, const std::string& text) {
  write_file(path, std::as_bytes(std::span(text)));
}

}  // namespace bitlaw::data
