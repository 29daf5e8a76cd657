// Element types of tensors on disk: their names, their widths, and how many bytes a shape takes. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitlaw::data {

enum class DType {
  float32,
  float64,
  float16,
  bfloat16,
  int8,
  uint8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  // Below: types that other programs' files have.
  boolean,  // a byte, 0 or 1
  float8_e4m3fn,
  float8_e5m2,
  float8_e8m0fnu,
  float8_e4m3fnuz,
  float8_e5m2fnuz,
  complex64,    // two float32
  float4_e2m1,  // two elements in a byte
  float6_e2m3,  // four elements in three bytes
  float6_e3m2
};

inline constexpr int kDTypeCount = static_cast<int>(DType::float6_e3m2) + 1;

int bits_of(DType dtype);          // of one element
std::size_t size_of(DType dtype);  // bytes of one element; std::invalid_argument when it has no whole bytes
std::string_view name_of(DType dtype);    // "float32", ... as torch names them
DType dtype_from_name(std::string_view);  // InputError when unknown

// Bytes of a tensor, elements packed without gaps. None when an extent is negative, when the product of the
// extents that are not 0, or its bits, pass 2^63 - 1, or when the elements end inside a byte: so a shape that
// a file states can be judged before anything is allocated.
std::optional<std::uint64_t> byte_count(DType dtype, std::span<const std::int64_t> shape);

}  // namespace bitlaw::data
