#include "trainer/checkpoint/pages.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace bitlaw::trainer {

Pages::~Pages() {
  release();
}

void Pages::release() {
  if (!memory_.empty()) {
    ::munmap(memory_.data(), memory_.size());
    memory_ = {};
  }
}

std::span<std::byte> Pages::at_least(std::size_t bytes) {
  if (memory_.size() >= bytes) {
    return memory_;
  }
  release();
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* address = ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    throw std::bad_alloc();
  }
  ::madvise(address, rounded, MADV_HUGEPAGE);  // a wish: fewer page faults
  std::memset(address, 0, rounded);
  memory_ = {static_cast<std::byte*>(address), rounded};
  return memory_;
}

}  // namespace bitlaw::trainer
