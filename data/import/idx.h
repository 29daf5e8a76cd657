// IDX, the format of MNIST: 2 zero bytes, a type (0x08: uint8), the number of dimensions, each dimension as
// big-endian uint32, then the bytes row by row. Plain or gzip. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace bitlaw::data {

struct IdxArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> values;
};

// uint8 arrays of 1 to 4 dimensions. InputError: not IDX, another type, truncated (with bytes), damaged gzip,
// bytes after the end, impossible sizes. Memory grows with what is really there, not with what the header
// claims.
IdxArray read_idx(const std::filesystem::path& path);

}  // namespace bitlaw::data
