// Nearest codes against the plain table of all distances in float64.
#include "distill/models/nearest_code.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace bitlaw::distill {
namespace {

TEST(NearestCode, EqualsTheTableOfDistances) {
  at::manual_seed(1);
  const at::Tensor z_NC = at::randn({3000, 5}), codes_VC = at::randn({700, 5});  // three blocks of rows
  const at::Tensor difference_NVC = z_NC.to(at::kDouble).unsqueeze(1) - codes_VC.to(at::kDouble).unsqueeze(0);
  const at::Tensor distance_NV = difference_NVC.square().sum(2);
  const at::Tensor nearest_N = nearest_code(z_NC, codes_VC);
  const at::Tensor chosen_N = distance_NV.gather(1, nearest_N.unsqueeze(1)).squeeze(1);
  EXPECT_LT((chosen_N - distance_NV.amin(1)).max().item<double>(), 1e-5);
  EXPECT_GT(nearest_N.eq(distance_NV.argmin(1)).to(at::kDouble).mean().item<double>(), 0.999);
}

TEST(NearestCode, TiesGoToTheLowerIndex) {
  const at::Tensor codes_VC = at::tensor({2.0F, 1.0F, 1.0F, -1.0F}).view({4, 1});
  EXPECT_EQ(nearest_code(at::ones({1, 1}), codes_VC).item<std::int64_t>(), 1);
  EXPECT_EQ(nearest_code(at::zeros({1, 1}), codes_VC).item<std::int64_t>(), 1);
}

}  // namespace
}  // namespace bitlaw::distill
