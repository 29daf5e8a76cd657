// While it lives, this process cannot make a file longer than so many bytes: a full disk without a disk.
#pragma once

#include <sys/resource.h>

#include <csignal>
#include <mutex>

namespace bitlaw::test {

// The limit is one of the process: where ranks are threads, it lasts until the last of them has left.
class WriteLimit {
 public:
  explicit WriteLimit(rlim_t bytes) {
    const std::lock_guard lock(mutex_);
    if (users_++ == 0) {
      std::signal(SIGXFSZ, SIG_IGN);  // the write fails with EFBIG instead
      getrlimit(RLIMIT_FSIZE, &before_);
    }
    const rlimit limited{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~WriteLimit() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) {
      setrlimit(RLIMIT_FSIZE, &before_);
    }
  }
  WriteLimit(const WriteLimit&) = delete;
  WriteLimit& operator=(const WriteLimit&) = delete;

 private:
  static inline std::mutex mutex_;
  static inline int users_ = 0;
  static inline rlimit before_{};
};

}  // namespace bitlaw::test
