// Mixed precision as a knapsack: one choice for each layer, the least sum of losses at every number of bits.
// Exact: partial sums that are beaten in both bits and loss are dropped, nothing else is. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitlaw::quant {

struct BitChoice {
  std::int64_t bits = 0;  // of the whole layer, >= 0
  double loss = 0.0;      // finite
};

struct BitAllocation {
  std::int64_t bits = 0;
  double loss = 0.0;
  std::vector<std::size_t> choices;  // of each layer
};

// Every allocation that no other one beats, by rising bits and falling loss. Of equal ones, one. Its length
// is at most the number of different sums of bits. InputError: a layer without a choice, or
// a loss that is not finite.
std::vector<BitAllocation> bit_frontier(std::span<const std::vector<BitChoice>> layers);

// The last of a frontier within `budget` bits. InputError when there is none, naming the least there is.
const BitAllocation& within_budget(std::span<const BitAllocation> frontier, std::int64_t budget);

}  // namespace bitlaw::quant
