#include "data/formats/dtype.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <string>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data {

namespace {

struct TypeFacts {
  std::string_view name;
  int bits;
};

constexpr std::array<TypeFacts, kDTypeCount> kTypes = {{{"float32", 32},
                                                        {"float64", 64},
                                                        {"float16", 16},
                                                        {"bfloat16", 16},
                                                        {"int8", 8},
                                                        {"uint8", 8},
                                                        {"int16", 16},
                                                        {"uint16", 16},
                                                        {"int32", 32},
                                                        {"uint32", 32},
                                                        {"int64", 64},
                                                        {"uint64", 64},
                                                        {"bool", 8},
                                                        {"float8_e4m3fn", 8},
                                                        {"float8_e5m2", 8},
                                                        {"float8_e8m0fnu", 8},
                                                        {"float8_e4m3fnuz", 8},
                                                        {"float8_e5m2fnuz", 8},
                                                        {"complex64", 64},
                                                        {"float4_e2m1", 4},
                                                        {"float6_e2m3", 6},
                                                        {"float6_e3m2", 6}}};

constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

}  // namespace

int bits_of(DType dtype) {
  return kTypes.at(static_cast<std::size_t>(dtype)).bits;
}

std::size_t size_of(DType dtype) {
  const int bits = bits_of(dtype);
  if (bits % 8 != 0) {
    throw std::invalid_argument(std::string(name_of(dtype)) + " has no whole number of bytes");
  }
  return static_cast<std::size_t>(bits / 8);
}

std::string_view name_of(DType dtype) {
  return kTypes.at(static_cast<std::size_t>(dtype)).name;
}

DType dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) {
      return static_cast<DType>(i);
    }
  }
  throw InputError("element type '" + printable(name) + "' is unknown",
                   "tensors are float16/32/64, bfloat16, float8, bool or integers of 8 to 64 bits",
                   "write the tensor as one of those");
}

std::optional<std::uint64_t> byte_count(DType dtype, std::span<const std::int64_t> shape) {
  std::uint64_t product = 1;  // of the extents that are not 0
  bool is_empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) {
      return std::nullopt;
    }
    is_empty = is_empty || extent == 0;
    if (extent > 0 &&
        (__builtin_mul_overflow(product, static_cast<std::uint64_t>(extent), &product) || product > kMost)) {
      return std::nullopt;
    }
  }
  std::uint64_t bits = 0;
  if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(bits_of(dtype)), &bits) || bits > kMost) {
    return std::nullopt;
  }
  if (is_empty) {
    return 0;
  }
  return bits % 8 == 0 ? std::optional(bits / 8) : std::nullopt;
}

}  // namespace bitlaw::data
