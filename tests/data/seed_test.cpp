// Philox against Random123's known answers; distributions against their moments; permutations are
// permutations.
#include "data/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <vector>

namespace bitlaw::data {
namespace {

using Block = std::array<std::uint32_t, 4>;

TEST(Philox, KnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, KeyAndPositionFillCounterAsDocumented) {
  const RandomKey key{0x1122334455667788, Purpose::augment, 0x99AABBCCDDEEFF00, 0x0123456789ABCDEF};
  const Block derived = philox4x32({0xDDEEFF00, 0x99AABBCC, 2, 0}, {0x55667788, 0x11223344});
  EXPECT_EQ(philox(key, 0xFEDCBA9876543210),
            philox4x32({0x76543210, 0xFEDCBA98, 0x89ABCDEF, 0x01234567}, {derived[0], derived[1]}));
}

TEST(Philox, EveryPartOfTheKeyMatters) {
  std::set<Block> blocks;
  const RandomKey key{1, Purpose::shuffle, 2, 3};
  blocks.insert(philox(key, 4));
  blocks.insert(philox({2, Purpose::shuffle, 2, 3}, 4));
  blocks.insert(philox({1, Purpose::augment, 2, 3}, 4));
  blocks.insert(philox({1, Purpose::shuffle, 3, 3}, 4));
  blocks.insert(philox({1, Purpose::shuffle, 2, 4}, 4));
  blocks.insert(philox(key, 5));
  EXPECT_EQ(blocks.size(), 6U);
}

constexpr int kDraws = 200000;
constexpr RandomKey kKey{17, Purpose::synthetic, 0, 0};

// Mean and mean square of kDraws numbers, whose standard errors the bounds are six times.
template <class Draw>
void expect_moments(Draw draw, double mean, double square, double mean_error, double square_error) {
  double sum = 0;
  double sum_of_squares = 0;
  for (std::size_t i = 0; i < kDraws; ++i) {
    const double x = draw(i);
    sum += x;
    sum_of_squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, mean, 6 * mean_error);
  EXPECT_NEAR(sum_of_squares / kDraws, square, 6 * square_error);
}

TEST(Uniform, HasUniformMomentsAndRange) {
  const double mean_error = std::sqrt(1.0 / 12 / kDraws);
  const double square_error = std::sqrt(4.0 / 45 / kDraws);
  expect_moments([](std::size_t i) { return uniform(kKey, i); }, 0.5, 1.0 / 3, mean_error, square_error);
  std::vector<float> filled(kDraws);
  fill_uniform(kKey, filled);
  expect_moments([&](std::size_t i) { return filled[i]; }, 0.5, 1.0 / 3, mean_error, square_error);
  EXPECT_GE(*std::min_element(filled.begin(), filled.end()), 0.0F);
  EXPECT_LT(*std::max_element(filled.begin(), filled.end()), 1.0F);
}

TEST(Normal, HasNormalMoments) {
  const double mean_error = std::sqrt(1.0 / kDraws);
  const double square_error = std::sqrt(2.0 / kDraws);
  expect_moments([](std::size_t i) { return normal(kKey, i); }, 0, 1, mean_error, square_error);
  std::vector<float> filled(kDraws);
  fill_normal(kKey, filled);
  expect_moments([&](std::size_t i) { return filled[i]; }, 0, 1, mean_error, square_error);
}

TEST(Normal, FollowsTheNormalDistribution) {
  std::vector<float> filled(kDraws);
  fill_normal(kKey, filled);
  std::sort(filled.begin(), filled.end());
  double distance = 0;  // Kolmogorov-Smirnov; 1.95 / sqrt(n) is exceeded once in a thousand
  for (std::size_t i = 0; i < filled.size(); ++i) {
    const double expected = 0.5 * std::erfc(-filled[i] / std::sqrt(2.0));
    distance = std::max(distance, std::abs(expected - (static_cast<double>(i) + 0.5) / kDraws));
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(kDraws));
}

TEST(Fill, PrefixDoesNotDependOnLength) {
  for (std::size_t length = 0; length < 12; ++length) {
    std::vector<float> shorter(length);
    std::vector<float> longer(16);
    fill_normal(kKey, shorter);
    fill_normal(kKey, longer);
    EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin()));
    fill_uniform(kKey, shorter);
    fill_uniform(kKey, longer);
    EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin()));
  }
}

TEST(HashName, IsFnv1a64) {
  EXPECT_EQ(hash_name(""), 0xcbf29ce484222325U);
  EXPECT_EQ(hash_name("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(hash_name("foobar"), 0x85944171f73967e8U);
}

TEST(Permutation, HitsEveryIndexOnce) {
  for (const std::uint64_t count : {1, 2, 3, 4, 5, 15, 16, 17, 64, 1000, 4097, 60000}) {
    const Permutation permutation(count, 1, 0);
    std::vector<bool> seen(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t target = permutation(i);
      ASSERT_LT(target, count);
      ASSERT_FALSE(seen[target]) << count << " " << i;
      seen[target] = true;
    }
  }
}

TEST(Permutation, RefusesIndexOutside) {
  EXPECT_THROW(Permutation(5, 1, 0)(5), std::invalid_argument);
  EXPECT_THROW(Permutation(0, 1, 0)(0), std::invalid_argument);
}

TEST(Permutation, DependsOnSeedAndEpochOnly) {
  const auto order = [](std::uint64_t seed, std::uint64_t epoch) {
    const Permutation permutation(100, seed, epoch);
    std::vector<std::uint64_t> values(100);
    for (std::uint64_t i = 0; i < 100; ++i) {
      values[i] = permutation(i);
    }
    return values;
  };
  EXPECT_EQ(order(1, 2), order(1, 2));
  EXPECT_NE(order(1, 2), order(1, 3));
  EXPECT_NE(order(1, 2), order(2, 2));
}

TEST(Permutation, AllOrdersOfFourAreAboutEquallyFrequent) {
  std::map<std::array<std::uint64_t, 4>, int> counts;
  constexpr int kEpochs = 24000;
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const Permutation p(4, 9, epoch);
    ++counts[{p(0), p(1), p(2), p(3)}];
  }
  EXPECT_EQ(counts.size(), 24U);
  for (const auto& [order, count] : counts) {
    EXPECT_NEAR(count, kEpochs / 24, 200);  // standard deviation 31
  }
}

TEST(Permutation, IsFarFromTheIdentity) {
  const Permutation permutation(10000, 3, 1);
  double correlation = 0;  // of index and value; standard deviation 0.01 for a random order
  for (std::uint64_t i = 0; i < 10000; ++i) {
    correlation += (static_cast<double>(i) - 4999.5) * (static_cast<double>(permutation(i)) - 4999.5);
  }
  EXPECT_NEAR(correlation / (1e12 / 12), 0, 0.06);
}

}  // namespace
}  // namespace bitlaw::data
