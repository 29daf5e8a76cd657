// While it lives, this process cannot make a file longer than so many bytes: a full disk without a disk.
#pragma once

#include <sys/resource.h>

#include <csignal>

namespace bitlaw::trainer::test {

class WriteLimit {
 public:
  explicit WriteLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);  // the write fails with EFBIG instead
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~WriteLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  WriteLimit(const WriteLimit&) = delete;
  WriteLimit& operator=(const WriteLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace bitlaw::trainer::test
