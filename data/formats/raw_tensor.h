// A tensor as bytes: what every reader and writer of files hands over. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/formats/dtype.h"

namespace bitlaw::data {

struct RawTensor {
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;  // outermost first; empty: a scalar
  std::vector<std::byte> bytes;     // little-endian, row-major, byte_count(dtype, shape) of them

  bool operator==(const RawTensor&) const = default;
};

}  // namespace bitlaw::data
