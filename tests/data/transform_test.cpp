#include "data/transform.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace bitlaw::data {
namespace {

const std::vector<float> kImage = {1,  2,  3,  4,  5, 6, /* second channel */ 10,
                                   20, 30, 40, 50, 60};  // 2 x 2 x 3

std::vector<float> augmented(const Augmentation& augmentation) {
  std::vector<float> image = kImage;
  augment(image, 2, 2, 3, augmentation);
  return image;
}

TEST(Augment, ByHand) {
  EXPECT_EQ(augmented({}), kImage);
  EXPECT_EQ(augmented({true, 0, 0}), (std::vector<float>{3, 2, 1, 6, 5, 4, 30, 20, 10, 60, 50, 40}));
  EXPECT_EQ(augmented({false, 1, 0}), (std::vector<float>{4, 5, 6, -1, -1, -1, 40, 50, 60, -1, -1, -1}));
  EXPECT_EQ(augmented({false, -1, 0}), (std::vector<float>{-1, -1, -1, 1, 2, 3, -1, -1, -1, 10, 20, 30}));
  EXPECT_EQ(augmented({false, 0, 1}), (std::vector<float>{2, 3, -1, 5, 6, -1, 20, 30, -1, 50, 60, -1}));
  EXPECT_EQ(augmented({true, 0, -2}), (std::vector<float>{1, -1, -1, 4, -1, -1, 10, -1, -1, 40, -1, -1}));
}

TEST(Augment, ShiftsBeyondTheImageLeaveBlack) {
  const std::vector<float> black(kImage.size(), -1.0F);
  EXPECT_EQ(augmented({false, 2, 0}), black);
  EXPECT_EQ(augmented({false, 0, 3}), black);
  EXPECT_EQ(augmented({true, -5, -7}), black);
}

TEST(DrawAugmentation, IsAFunctionOfSeedAndSample) {
  const AugmentOptions options{true, 4, 7};
  const Augmentation first = draw_augmentation(options, 123);
  const Augmentation again = draw_augmentation(options, 123);
  EXPECT_EQ(std::tie(first.mirrored, first.shift_y, first.shift_x),
            std::tie(again.mirrored, again.shift_y, again.shift_x));
  std::set<std::tuple<bool, std::int64_t, std::int64_t>> seeds;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Augmentation drawn = draw_augmentation({true, 4, seed}, 123);
    seeds.emplace(drawn.mirrored, drawn.shift_y, drawn.shift_x);
  }
  EXPECT_GT(seeds.size(), 10U);
}

TEST(DrawAugmentation, IsUniform) {
  constexpr int kDraws = 20000;
  int mirrored = 0;
  std::map<std::int64_t, int> rows;
  std::map<std::int64_t, int> columns;
  for (int i = 0; i < kDraws; ++i) {
    const Augmentation drawn = draw_augmentation({true, 2, 1}, i);
    mirrored += drawn.mirrored ? 1 : 0;
    ++rows[drawn.shift_y];
    ++columns[drawn.shift_x];
  }
  EXPECT_NEAR(mirrored, kDraws / 2, 5 * 71);  // five standard deviations
  for (const auto& counts : {rows, columns}) {
    ASSERT_EQ(counts.size(), 5U);
    EXPECT_EQ(counts.begin()->first, -2);
    for (const auto& [shift, count] : counts) EXPECT_NEAR(count, kDraws / 5, 5 * 57) << shift;
  }
}

TEST(DrawAugmentation, SwitchedOffMeansNothing) {
  for (int i = 0; i < 100; ++i) {
    const Augmentation drawn = draw_augmentation({false, 0, 1}, i);
    EXPECT_FALSE(drawn.mirrored);
    EXPECT_EQ(drawn.shift_y, 0);
    EXPECT_EQ(drawn.shift_x, 0);
  }
}

}  // namespace
}  // namespace bitlaw::data
