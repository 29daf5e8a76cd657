// Which scale belongs to which element of a weight, and scales moved from one division of a weight to
// another. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quant/pack.h"

namespace bitlaw::quant {

class ScaleMap {
 public:
  // Of a weight of these extents; `group_index` as in PackedTensor. InputError when a group or block does not
  // divide the weight.
  ScaleMap(const QuantSpec& spec, std::int64_t out_features, std::int64_t in_features,
           std::vector<std::int32_t> group_index = {});
  explicit ScaleMap(const PackedTensor& packed);

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t count() const { return rows_ * columns_; }
  std::size_t index(std::size_t row, std::size_t input) const {
    const std::size_t column =
        group_index_.empty() ? input / width_ : static_cast<std::size_t>(group_index_[input]);
    return row / height_ * columns_ + column;
  }

 private:
  std::size_t rows_;
  std::size_t columns_;
  std::size_t width_;
  std::size_t height_;
  std::vector<std::int32_t> group_index_;
};

// For each scale of `to` the scale of `from` that all its elements have. NoExactForm when elements that share
// one of `to` have several in `from`, unless these are equal by `equal(a, b)`.
template <class Equal>
std::vector<std::size_t> regroup(const ScaleMap& from, const ScaleMap& to, std::size_t out_features,
                                 std::size_t in_features, const Equal& equal);

}  // namespace bitlaw::quant

#include "quant/containers/restate.h"

namespace bitlaw::quant {

template <class Equal>
std::vector<std::size_t> regroup(const ScaleMap& from, const ScaleMap& to, std::size_t out_features,
                                 std::size_t in_features, const Equal& equal) {
  constexpr std::size_t kNone = SIZE_MAX;
  std::vector<std::size_t> source(to.count(), kNone);
  for (std::size_t row = 0; row < out_features; ++row) {
    for (std::size_t input = 0; input < in_features; ++input) {
      const std::size_t wanted = from.index(row, input);
      std::size_t& found = source[to.index(row, input)];
      if (found == kNone) {
        found = wanted;
      } else if (found != wanted && !equal(found, wanted)) {
        throw NoExactForm("weights that would share a scale have different scales");
      }
    }
  }
  return source;
}

}  // namespace bitlaw::quant
