// |z|^2 is the same for all codes of a row: the smallest |e|^2 - 2 z.e decides, one matrix product a block.
#include "distill/models/nearest_code.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace bitlaw::distill {

namespace {
constexpr std::int64_t kDistancesOfBlock = std::int64_t{1} << 20;  // 4 MiB: stays in the cache
}

at::Tensor nearest_code(const at::Tensor& z_NC, const at::Tensor& codes_VC) {
  const at::NoGradGuard no_grad;
  const std::int64_t rows = z_NC.size(0);
  const std::int64_t block = std::max<std::int64_t>(1, kDistancesOfBlock / codes_VC.size(0));
  const at::Tensor length_V = codes_VC.square().sum(1), codes_CV = codes_VC.t();
  at::Tensor nearest_N = at::empty({rows}, z_NC.options().dtype(at::kLong));
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t count = std::min(block, rows - first);
    const at::Tensor distance_NV = at::addmm(length_V, z_NC.narrow(0, first, count), codes_CV, 1, -2);
    nearest_N.narrow(0, first, count).copy_(distance_NV.argmin(1));
  }
  return nearest_N;
}

}  // namespace bitlaw::distill
