// Rows of a matrix over the threads of LibTorch, some thousands of elements a task.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

#include "quant/kernels/fake_quant.h"

namespace bitlaw::quant {

// body(RowRange) for ranges that together are all `rows` of so many elements; in any order, side by side.
template <class Body>
void for_rows(std::int64_t rows, std::int64_t width, const Body& body) {
  constexpr std::int64_t kElementsPerTask = 1 << 15;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementsPerTask / std::max<std::int64_t>(1, width));
  at::parallel_for(0, rows, grain, [&](std::int64_t first, std::int64_t last) {
    body(RowRange{first, last});
  });
}

}  // namespace bitlaw::quant
