// Assignment of phi convolutions to scales: the published tables, and the rule behind them.
#include <gtest/gtest.h>

#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {
namespace {

using Map = std::vector<std::int64_t>;

TEST(PhiOfScale, PublishedMapsOfFourConvolutions) {
  EXPECT_EQ(phi_of_scale(10, 4), (Map{0, 0, 1, 1, 1, 2, 2, 3, 3, 3}));
  EXPECT_EQ(phi_of_scale(14, 4), (Map{0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3}));
  EXPECT_EQ(phi_of_scale(9, 4), (Map{0, 0, 1, 1, 2, 2, 2, 3, 3}));
  EXPECT_EQ(phi_of_scale(8, 4), (Map{0, 0, 1, 1, 2, 2, 3, 3}));
  EXPECT_EQ(phi_of_scale(7, 4), (Map{0, 0, 1, 2, 2, 3, 3}));
  EXPECT_EQ(phi_of_scale(6, 4), (Map{0, 0, 1, 2, 3, 3}));
  EXPECT_EQ(phi_of_scale(5, 4), (Map{0, 1, 2, 2, 3}));
  EXPECT_EQ(phi_of_scale(4, 4), (Map{0, 1, 2, 3}));
  EXPECT_EQ(phi_of_scale(3, 4), (Map{0, 2, 3}));
}

TEST(PhiOfScale, OneEachOrOneForAll) {
  EXPECT_EQ(phi_of_scale(6, 6), (Map{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(phi_of_scale(3, 1), (Map{0, 0, 0}));
  EXPECT_EQ(phi_of_scale(1, 1), (Map{0}));
}

// Ticks of other counts than four are (i + 1/2) / n: 1/4 and 3/4 for two.
TEST(PhiOfScale, NearestTick) {
  EXPECT_EQ(phi_of_scale(4, 2), (Map{0, 0, 1, 1}));
}

TEST(TokenCount, SumsSquares) {
  EXPECT_EQ(token_count({1, 2, 3, 4, 5, 6, 8, 10, 13, 16}), 680);
  EXPECT_EQ(token_count({1, 2, 3, 4, 6, 9, 13, 18, 24, 32}), 2240);
  EXPECT_EQ(token_count({1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64}), 9451);
}

}  // namespace
}  // namespace bitlaw::distill
