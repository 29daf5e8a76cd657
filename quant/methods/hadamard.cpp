// The fast Walsh-Hadamard transform: log2(block) passes of sums and differences.
#include "quant/methods/hadamard.h"

#include <ATen/ATen.h>

#include <bit>
#include <cmath>

namespace bitlaw::quant {

bool has_hadamard(std::int64_t block) {
  return block > 1 && std::has_single_bit(static_cast<std::uint64_t>(block));
}

at::Tensor rotate(const at::Tensor& x, std::int64_t block) {
  TORCH_CHECK(has_hadamard(block), "a rotation's block is a power of two, not ", block);
  TORCH_CHECK(x.size(-1) % block == 0, "blocks of ", block, " do not divide ", x.size(-1), " inputs");
  at::Tensor y = x;
  for (std::int64_t half = 1; half < block; half *= 2) {
    const at::Tensor pairs = y.reshape({-1, 2, half});
    const at::Tensor a = pairs.select(1, 0);
    const at::Tensor b = pairs.select(1, 1);
    y = at::stack({a + b, a - b}, 1);
  }
  return (y * (1.0 / std::sqrt(static_cast<double>(block)))).view(x.sizes());
}

InputStatistics rotated(const InputStatistics& inputs, std::int64_t block) {
  InputStatistics result = inputs;
  result.gram = rotate(rotate(inputs.gram, block).t(), block);
  result.sum = rotate(inputs.sum, block);
  result.abs_sum = at::Tensor();
  result.abs_max = at::Tensor();
  return result;
}

}  // namespace bitlaw::quant
