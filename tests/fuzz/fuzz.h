// What every fuzzer of a reader shares: the bytes as a file, and what counts as a find.
//
// A reader may refuse its file by an InputError, or hand over tensors of the size that it states. A crash,
// another exception, a sanitizer's report, or memory beyond the fuzzer's limit is a find.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "data/formats/input_error.h"
#include "tests/support/memory_file.h"

namespace bitlaw::fuzz {

// Stops the program, so that the fuzzer keeps the input.
inline void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Calls `read` with the path of a file of these bytes.
template <typename Read>
int over_file(const std::uint8_t* bytes, std::size_t size, Read read) {
  static test::MemoryFile file;
  file.set({reinterpret_cast<const char*>(bytes), size});
  try {
    read(file.path());
  } catch (const data::InputError&) {
    return 0;  // refused, as it may be
  }
  return 0;
}

}  // namespace bitlaw::fuzz
