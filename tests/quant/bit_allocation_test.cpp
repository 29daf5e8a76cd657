// The knapsack of bits against every allocation there is.
#include "quant/bit_allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "data/formats/input_error.h"
#include "tests/quant/support.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using Layers = std::vector<std::vector<BitChoice>>;

Layers random_layers(std::uint64_t seed) {
  const std::vector<float> noise = normal_values(40, seed);
  Layers layers;
  for (std::size_t i = 0; i < 5; ++i) {
    std::vector<BitChoice> choices;
    const auto weights = static_cast<std::int64_t>(10.0F + 8.0F * std::abs(noise[i]));
    for (const std::int64_t width : {2, 3, 4, 8}) {  // losses mostly fall with the width, not always
      const double loss =
          std::exp2(-2.0 * static_cast<double>(width)) * std::exp(noise[8 + choices.size() + 4 * i]);
      choices.push_back({weights * width, loss});
    }
    layers.push_back(choices);
  }
  return layers;
}

// Least loss of all allocations with at most `budget` bits.
double least_loss(const Layers& layers, std::int64_t budget) {
  double least = 1e300;
  for (std::size_t code = 0; code < 1024; ++code) {
    std::int64_t bits = 0;
    double loss = 0.0;
    for (std::size_t i = 0; i < 5; ++i) {
      const BitChoice& choice = layers[i][code >> (2 * i) & 3];
      bits += choice.bits;
      loss += choice.loss;
    }
    least = bits <= budget ? std::min(least, loss) : least;
  }
  return least;
}

TEST(BitAllocation, IsTheBestOfAllAtEveryBudget) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const Layers layers = random_layers(seed);
    const std::vector<BitAllocation> frontier = bit_frontier(layers);
    for (std::int64_t budget = frontier.front().bits; budget < frontier.back().bits + 10; budget += 7) {
      const BitAllocation& found = within_budget(frontier, budget);
      EXPECT_LE(found.bits, budget);
      EXPECT_NEAR(found.loss, least_loss(layers, budget), 1e-15) << seed << " " << budget;
    }
  }
}

TEST(BitAllocation, FrontierRisesInBitsAndFallsInLossAndItsChoicesAddUp) {
  const Layers layers = random_layers(77);
  const std::vector<BitAllocation> frontier = bit_frontier(layers);
  for (std::size_t i = 0; i < frontier.size(); ++i) {
    std::int64_t bits = 0;
    double loss = 0.0;
    for (std::size_t layer = 0; layer < 5; ++layer) {
      bits += layers[layer][frontier[i].choices[layer]].bits;
      loss += layers[layer][frontier[i].choices[layer]].loss;
    }
    EXPECT_EQ(bits, frontier[i].bits);
    EXPECT_NEAR(loss, frontier[i].loss, 1e-15);
    if (i > 0) {
      EXPECT_GT(frontier[i].bits, frontier[i - 1].bits);
      EXPECT_LT(frontier[i].loss, frontier[i - 1].loss);
    }
  }
}

TEST(BitAllocation, ManyEqualLayersStayTractable) {
  const Layers layers(200, {{20, 1.0}, {30, 0.4}, {40, 0.1}, {80, 0.0}});
  const std::vector<BitAllocation> frontier = bit_frontier(layers);
  EXPECT_LT(frontier.size(), 1300U);
  EXPECT_EQ(frontier.front().bits, 4000);
  EXPECT_EQ(frontier.back().loss, 0.0);
  EXPECT_NEAR(within_budget(frontier, 8000).loss, 20.0, 1e-9);  // all at 40: the hull's corner
}

TEST(BitAllocation, AnImpossibleBudgetNamesTheLeast) {
  const std::vector<BitAllocation> frontier = bit_frontier(Layers{{{20, 1.0}, {30, 0.5}}});
  try {
    within_budget(frontier, 19);
    FAIL();
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("a budget of 19 bits [the least that the choices allow is 20]"));
  }
  EXPECT_THROW(bit_frontier(Layers{{}}), data::InputError);
}

// With NaN every comparison is false: the narrowest choice of every layer would look like the best.
TEST(BitAllocation, ALossThatIsNotFiniteIsRefused) {
  for (const double loss :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_THAT(test::message_of([&] {
                  bit_frontier(Layers{{{20, 1.0}, {30, 0.5}}, {{20, 1.0}, {30, loss}}});
                }),
                testing::HasSubstr("for a choice of 30 bits"));
  }
}

}  // namespace
}  // namespace bitlaw::quant
