// Top-k, top-p and the draw on rows small enough to work out by hand.
#include "distill/samplers/token_filter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bitlaw::distill {
namespace {

std::vector<float> filtered(const std::vector<float>& probabilities, const TokenFilter& filter) {
  std::vector<float> logits(probabilities.size()), result(probabilities.size());
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = std::log(probabilities[i]) + 3.0F;
  std::vector<std::int32_t> scratch;
  filter_row(logits, filter, result, scratch);
  return result;
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6) << i;
}

const std::vector<float> kRow = {0.1F, 0.4F, 0.2F, 0.3F};

TEST(FilterRow, OffIsTheSoftmax) {
  expect_near(filtered(kRow, {}), {0.1, 0.4, 0.2, 0.3});
}

TEST(FilterRow, TopKKeepsTheLargest) {
  expect_near(filtered(kRow, {.top_k = 2}), {0, 4.0 / 7, 0, 3.0 / 7});
  expect_near(filtered(kRow, {.top_k = 1}), {0, 1, 0, 0});
  expect_near(filtered(kRow, {.top_k = 4}), {0.1, 0.4, 0.2, 0.3});
  expect_near(filtered(kRow, {.top_k = 900}), {0.1, 0.4, 0.2, 0.3});
}

TEST(FilterRow, TiesWithTheKthStay) {
  std::vector<float> result(4);
  std::vector<std::int32_t> scratch;
  filter_row(std::vector<float>{1, 2, 2, 0}, {.top_k = 1}, result, scratch);
  expect_near(result, {0, 0.5, 0.5, 0});
}

// Rising: .1, .2 (cumulative .3), .3 (.6), .4. With p = .65, what reaches at most .35 goes.
TEST(FilterRow, TopPDropsTheTail) {
  expect_near(filtered(kRow, {.top_p = 0.65}), {0, 4.0 / 7, 0, 3.0 / 7});
  expect_near(filtered(kRow, {.top_p = 0.75}), {0, 4.0 / 9, 2.0 / 9, 3.0 / 9});
  expect_near(filtered(kRow, {.top_p = 1.0}), {0.1, 0.4, 0.2, 0.3});
  expect_near(filtered(kRow, {.top_p = 0.01}), {0, 1, 0, 0});  // the last always stays
}

// Top-p acts on what top-k left, renormalised: 4/9, 3/9, 2/9 -> with p = .7, 2/9 <= .3 goes.
TEST(FilterRow, TopPAfterTopK) {
  expect_near(filtered(kRow, {.top_k = 3, .top_p = 0.7}), {0, 4.0 / 7, 0, 3.0 / 7});
}

TEST(Draw, InvertsTheCumulativeDistribution) {
  const std::vector<float> row = {0, 0.25F, 0, 0.75F, 0};
  EXPECT_EQ(draw(row, 0.0), 1);
  EXPECT_EQ(draw(row, 0.2499), 1);
  EXPECT_EQ(draw(row, 0.25), 3);
  EXPECT_EQ(draw(row, 0.999999999), 3);
}

}  // namespace
}  // namespace bitlaw::distill
