// Codes of positions and timesteps against their formulas, evaluated here in float64.
#include "distill/models/positions.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bitlaw::distill {
namespace {

double value(const at::Tensor& tensor, std::initializer_list<std::int64_t> indices) {
  at::Tensor element = tensor;
  for (const std::int64_t index : indices) element = element.select(0, index);
  return element.item<double>();
}

TEST(Positions, SinesAndCosinesOfColumnThenRow) {
  const std::int64_t side = 3, width = 16, quarter = 4;
  const at::Tensor table = sin_cos_positions(side, width);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({1, 9, 16}));
  for (std::int64_t token = 0; token < 9; ++token)
    for (std::int64_t channel = 0; channel < width; ++channel) {
      const std::int64_t position = channel < 8 ? token % side : token / side;
      const double angle =
          static_cast<double>(position) * std::pow(10000.0, -static_cast<double>(channel % quarter) / 4.0);
      const bool sine = channel / quarter % 2 == 0;
      EXPECT_EQ(value(table, {0, token, channel}),
                static_cast<float>(sine ? std::sin(angle) : std::cos(angle)));
    }
}

TEST(Positions, TimestepsAsCosinesThenSines) {
  const at::Tensor features = timestep_features(at::tensor({0, 7, 999}), 8);
  ASSERT_EQ(features.sizes(), at::IntArrayRef({3, 8}));
  for (std::int64_t row = 0; row < 3; ++row)
    for (std::int64_t channel = 0; channel < 8; ++channel) {
      const double t = row == 0 ? 0 : row == 1 ? 7 : 999;
      const double angle = t * std::exp(-std::log(10000.0) * static_cast<double>(channel % 4) / 4.0);
      EXPECT_NEAR(value(features, {row, channel}), channel < 4 ? std::cos(angle) : std::sin(angle), 1e-4);
    }
  EXPECT_TRUE(timestep_features(at::tensor({7}), 256)
                  .equal(timestep_features(at::tensor({7.0F}), 256)));  // of any type
}

TEST(Positions, RotationsByRowThenColumnAndNoneForTheClassToken) {
  const std::int64_t side = 3;
  const at::Tensor table = rotary_table(side, 16);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({10, 8, 2}));
  EXPECT_EQ(table[0].abs().max().item<double>(), 0);
  for (std::int64_t token = 0; token < 9; ++token)
    for (std::int64_t pair = 0; pair < 8; ++pair) {
      const std::int64_t position = pair < 4 ? token / side : token % side;
      const double angle =
          static_cast<double>(position) * std::pow(10000.0, -4.0 * static_cast<double>(pair % 4) / 16.0);
      EXPECT_NEAR(value(table, {token + 1, pair, 0}), std::cos(angle), 1e-7);
      EXPECT_NEAR(value(table, {token + 1, pair, 1}), std::sin(angle), 1e-7);
    }
}

// Scores of rotated queries and keys depend on differences of row and column alone.
TEST(Positions, RotatedProductsSeeDistances) {
  at::manual_seed(4);
  const std::int64_t side = 4;
  const at::Tensor table = rotary_table(side, 8);
  const at::Tensor q = at::randn({1, 1, 1, 8}).expand({1, 1, 17, 8}),
                   k = at::randn({1, 1, 1, 8}).expand({1, 1, 17, 8});
  const at::Tensor scores = at::matmul(rotate_pairs(q, table), rotate_pairs(k, table).transpose(2, 3))[0][0];
  const auto score = [&](std::int64_t row, std::int64_t column, std::int64_t down, std::int64_t right) {
    return value(scores, {1 + (row + down) * side + column + right, 1 + row * side + column});
  };
  EXPECT_NEAR(score(0, 0, 1, 2), score(2, 1, 1, 2), 1e-5);
  EXPECT_NEAR(score(1, 3, 2, -1), score(0, 1, 2, -1), 1e-5);
  EXPECT_GT(std::abs(score(0, 0, 1, 2) - score(0, 0, 2, 1)), 1e-3);
  EXPECT_EQ(scores[0].abs().max().item<double>(), 0);  // the class token's
}

TEST(Positions, PairsAreNeighboursAndTheTypeStays) {
  const at::Tensor quarter_turn = at::tensor({0.0F, 1.0F, 1.0F, 0.0F}).view({1, 2, 2});  // i, and 1
  const at::Tensor x = at::tensor({1.0F, 2.0F, 3.0F, 4.0F}).view({1, 1, 1, 4});
  EXPECT_TRUE(rotate_pairs(x, quarter_turn).flatten().equal(at::tensor({-2.0F, 1.0F, 3.0F, 4.0F})));
  EXPECT_EQ(rotate_pairs(x.to(at::kBFloat16), quarter_turn).scalar_type(), at::kBFloat16);
}

}  // namespace
}  // namespace bitlaw::distill
