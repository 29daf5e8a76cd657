// Area and bicubic resampling against windows and weights computed by hand.
#include "distill/models/resampling.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace bitlaw::distill {
namespace {

using Windows = std::vector<std::pair<std::int64_t, std::int64_t>>;  // [first row, row after the last)

// x(row, column) = row^2: the mean over a window of rows, whatever the columns.
void expect_windows(const Windows& windows) {
  const at::Tensor rows = at::arange(16, at::kFloat).square();
  const at::Tensor x = rows.view({1, 1, 16, 1}).expand({1, 1, 16, 16}).contiguous();
  const at::Tensor y = area_downsample(x, static_cast<std::int64_t>(windows.size()));
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const double mean = rows.slice(0, windows[i].first, windows[i].second).mean().item<double>();
    EXPECT_NEAR(y[0][0][static_cast<std::int64_t>(i)][0].item<double>(), mean, 1e-5) << "window " << i;
  }
}

TEST(AreaDownsample, OverlappingWindows) {
  expect_windows({{0, 2},
                  {1, 3},
                  {2, 4},
                  {3, 5},
                  {4, 7},
                  {6, 8},
                  {7, 9},
                  {8, 10},
                  {9, 12},
                  {11, 13},
                  {12, 14},
                  {13, 15},
                  {14, 16}});
  expect_windows({{0, 2}, {1, 4}, {3, 5}, {4, 7}, {6, 8}, {8, 10}, {9, 12}, {11, 13}, {12, 15}, {14, 16}});
}

TEST(AreaDownsample, SameSideIsTheIdentity) {
  const at::Tensor x = at::rand({2, 3, 5, 5});
  EXPECT_TRUE(area_downsample(x, 5).equal(x));
}

// Two samples to four: output 0 has taps -2..1 clamped to 0, 0, 0, 1, output 1 taps -1..2 with the weights
// mirrored; one axis at a time (the other is constant).
TEST(BicubicUpsample, HandComputedWeights) {
  const double a = 3, b = 7;
  const at::Tensor x = at::tensor({a, b}, at::kFloat).view({1, 1, 2, 1}).expand({1, 1, 2, 2}).contiguous();
  const at::Tensor y = bicubic_upsample(x, 4);
  const double w0 = -0.03515625, w1 = 0.26171875, w2 = 0.87890625, w3 = -0.10546875;
  const std::vector<double> expected = {(w0 + w1 + w2) * a + w3 * b, (w3 + w2) * a + (w1 + w0) * b,
                                        (w0 + w1) * a + (w2 + w3) * b, w3 * a + (w2 + w1 + w0) * b};
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_NEAR(y[0][0][i][0].item<double>(), expected[static_cast<std::size_t>(i)], 1e-5) << i;
}

TEST(BicubicUpsample, OneSampleIsConstant) {
  const at::Tensor y = bicubic_upsample(at::full({1, 1, 1, 1}, 2.5), 6);
  EXPECT_LT((y - 2.5).abs().max().item<double>(), 1e-6);
}

}  // namespace
}  // namespace bitlaw::distill
