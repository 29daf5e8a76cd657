// Names and sizes of the element types that a TensorFile holds.
#include <array>
#include <utility>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"

namespace bitlaw::data {

namespace {

struct TypeFacts {
  std::string_view name;
  std::size_t size;
};

constexpr std::array<TypeFacts, 12> kTypes = {{{"float32", 4},
                                               {"float64", 8},
                                               {"float16", 2},
                                               {"bfloat16", 2},
                                               {"int8", 1},
                                               {"uint8", 1},
                                               {"int16", 2},
                                               {"uint16", 2},
                                               {"int32", 4},
                                               {"uint32", 4},
                                               {"int64", 8},
                                               {"uint64", 8}}};

}  // namespace

std::size_t size_of(DType dtype) {
  return kTypes.at(static_cast<std::size_t>(dtype)).size;
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
  throw InputError("element type '" + std::string(name) + "' is unknown",
                   "tensors are float16/32/64, bfloat16 or integers of 8 to 64 bits",
                   "write the tensor as one of those");
}

std::int64_t TensorInfo::element_count() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    count *= extent;
  }
  return count;
}

std::size_t TensorInfo::byte_count() const {
  return static_cast<std::size_t>(element_count()) * size_of(dtype);
}

}  // namespace bitlaw::data
