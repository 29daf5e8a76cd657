// A hash of named tensors that does not depend on how their elements are spread over ranks or files.
//
// hash = sum over elements of mix(tensor name, logical index, bits of the element), modulo 2^128. Sums of
// parts that cover disjoint elements add up to the whole: `merge`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bitlaw::data {

class TensorHash {
 public:
  // Elements [first_index, ...) of the flattened tensor `name`, each `element_size` bytes (1, 2, 4 or 8).
  void add(std::string_view name, std::span<const std::byte> bytes, std::size_t element_size,
           std::int64_t first_index = 0);
  void merge(const TensorHash& other);
  std::string hex() const;  // 32 hexadecimal digits
  bool operator==(const TensorHash&) const = default;

 private:
  std::uint64_t low_ = 0;
  std::uint64_t high_ = 0;
};

}  // namespace bitlaw::data
