// Area and bicubic resampling as LibTorch computes them; the hand-computed cases are in the test.
#include "distill/models/resampling.h"

#include <ATen/ATen.h>

namespace bitlaw::distill {

at::Tensor area_downsample(const at::Tensor& x_BCPP, std::int64_t side) {
  if (x_BCPP.size(-1) == side) return x_BCPP;
  return at::adaptive_avg_pool2d(x_BCPP, {side, side});
}

at::Tensor bicubic_upsample(const at::Tensor& x_BCpp, std::int64_t side) {
  if (x_BCpp.size(-1) == side) return x_BCpp;
  return at::upsample_bicubic2d(x_BCpp, {side, side}, /*align_corners=*/false);
}

}  // namespace bitlaw::distill
