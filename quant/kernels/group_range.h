// The extremes of a group of weights, which absmax scales follow from. Vector instructions are chosen at run
// time and give the same values. Torch-free.
#pragma once

#include <span>

namespace bitlaw::quant {

struct GroupRange {
  float lowest = 0.0F;  // zero is always inside
  float highest = 0.0F;
  bool is_finite = true;  // all elements; the extremes mean nothing otherwise

  float amax() const { return -lowest > highest ? -lowest : highest; }
};

GroupRange range_of(std::span<const float> w);

}  // namespace bitlaw::quant
