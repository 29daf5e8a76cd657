#include "quant/bit_allocation.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "data/formats/input_error.h"

namespace bitlaw::quant {

namespace {

// A choice for the layers so far: the last one, and where the others stand.
struct Partial {
  std::int64_t bits = 0;
  double loss = 0.0;
  std::size_t parent = 0;
  std::size_t choice = 0;
};

// Leaves those that nothing beats, by rising bits and falling loss.
void drop_beaten(std::vector<Partial>& sums) {
  std::stable_sort(sums.begin(), sums.end(), [](const Partial& a, const Partial& b) {
    return a.bits != b.bits ? a.bits < b.bits : a.loss < b.loss;
  });
  std::vector<Partial> kept;
  for (const Partial& sum : sums) {
    if (kept.empty() || sum.loss < kept.back().loss) {
      kept.push_back(sum);
    }
  }
  sums = std::move(kept);
}

std::vector<Partial> extended(const std::vector<Partial>& sums, const std::vector<BitChoice>& layer) {
  std::vector<Partial> next;
  next.reserve(sums.size() * layer.size());
  for (std::size_t parent = 0; parent < sums.size(); ++parent) {
    for (std::size_t choice = 0; choice < layer.size(); ++choice) {
      next.push_back(
          {sums[parent].bits + layer[choice].bits, sums[parent].loss + layer[choice].loss, parent, choice});
    }
  }
  drop_beaten(next);
  return next;
}

void check_layer(const std::vector<BitChoice>& layer) {
  if (layer.empty()) {
    throw data::InputError("a layer without a choice of bits", "every layer needs one",
                           "give it at least one");
  }
  for (const BitChoice& choice : layer) {
    if (!std::isfinite(choice.loss)) {
      throw data::InputError("a loss of " + std::to_string(choice.loss) + " for a choice of " +
                                 std::to_string(choice.bits) + " bits",
                             "nothing is better or worse than that", "give finite losses");
    }
  }
}

}  // namespace

std::vector<BitAllocation> bit_frontier(std::span<const std::vector<BitChoice>> layers) {
  std::vector<std::vector<Partial>> stages{{Partial{}}};
  for (const std::vector<BitChoice>& layer : layers) {
    check_layer(layer);
    stages.push_back(extended(stages.back(), layer));
  }
  std::vector<BitAllocation> frontier;
  for (const Partial& last : stages.back()) {
    BitAllocation allocation{last.bits, last.loss, std::vector<std::size_t>(layers.size())};
    Partial at = last;
    for (std::size_t layer = layers.size(); layer > 0; --layer) {
      allocation.choices[layer - 1] = at.choice;
      at = stages[layer - 1][at.parent];
    }
    frontier.push_back(std::move(allocation));
  }
  return frontier;
}

const BitAllocation& within_budget(std::span<const BitAllocation> frontier, std::int64_t budget) {
  const auto above = std::find_if(frontier.begin(), frontier.end(),
                                  [&](const BitAllocation& allocation) { return allocation.bits > budget; });
  if (above == frontier.begin()) {
    throw data::InputError("a budget of " + std::to_string(budget) + " bits",
                           "the least that the choices allow is " +
                               (frontier.empty() ? std::string("nothing") : std::to_string(above->bits)),
                           "raise the budget, or allow fewer bits");
  }
  return *(above - 1);
}

}  // namespace bitlaw::quant
