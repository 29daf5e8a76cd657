// A file that lies in memory and still has a path: thousands of damaged files a second can be opened.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bitlaw::test {

class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes = {}) : descriptor_(::memfd_create("bitlaw-test", MFD_CLOEXEC)) {
    set(bytes);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(descriptor_); }

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

  void set(std::string_view bytes) {
    const auto size = static_cast<ssize_t>(bytes.size());
    if (descriptor_ < 0 || ::ftruncate(descriptor_, size) != 0 ||
        ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) != size) {
      throw std::runtime_error("cannot write a file in memory");
    }
  }

 private:
  int descriptor_;
};

}  // namespace bitlaw::test
