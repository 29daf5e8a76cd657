// Memory that is kept and whose pages are there: a copy into it runs at the speed of memory. Torch-free.
#pragma once

#include <cstddef>
#include <span>

namespace bitlaw::trainer {

// Fresh pages cost more than the copy into them, so they are touched when the memory is taken.
class Pages {
 public:
  Pages() = default;
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // At least so many bytes; what was there before is kept only when it is large enough. std::bad_alloc.
  std::span<std::byte> at_least(std::size_t bytes);
  std::span<std::byte> bytes() const { return memory_; }

 private:
  void release();
  std::span<std::byte> memory_;
};

}  // namespace bitlaw::trainer
