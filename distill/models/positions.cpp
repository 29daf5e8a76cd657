// Tables of sines and cosines.
#include "distill/models/positions.h"

#include <ATen/ATen.h>

#include <cmath>

namespace bitlaw::distill {

namespace {

constexpr double kBase = 10000.0;

// [side^2, ...] from [side, ...]: the value of each token's row, and of its column.
at::Tensor by_row(const at::Tensor& per_step, std::int64_t side) {
  return per_step.repeat_interleave(side, 0);
}
at::Tensor by_column(const at::Tensor& per_step, std::int64_t side) {
  return per_step.repeat({side, 1});
}

}  // namespace

at::Tensor sin_cos_positions(std::int64_t side, std::int64_t width) {
  const std::int64_t quarter = width / 4;
  const at::Tensor exponents = at::arange(quarter, at::kDouble) / static_cast<double>(quarter);
  const at::Tensor frequencies = 1.0 / at::pow(kBase, exponents);
  const at::Tensor angles = at::outer(at::arange(side, at::kDouble), frequencies);
  const at::Tensor axis = at::cat({angles.sin(), angles.cos()}, 1);  // [side, C/2]
  return at::cat({by_column(axis, side), by_row(axis, side)}, 1).to(at::kFloat).unsqueeze(0);
}

at::Tensor timestep_features(const at::Tensor& t_B, std::int64_t size) {
  const std::int64_t half = size / 2;
  const at::Tensor steps = at::arange(half, t_B.options().dtype(at::kFloat));
  const at::Tensor frequencies = at::exp(steps * -std::log(kBase) / static_cast<double>(half));
  const at::Tensor angles = t_B.to(at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  return at::cat({angles.cos(), angles.sin()}, 1);
}

at::Tensor rotary_table(std::int64_t side, std::int64_t head_dim) {
  const std::int64_t quarter = head_dim / 4;
  const at::Tensor exponents = at::arange(quarter, at::kDouble) / static_cast<double>(quarter);
  const at::Tensor steps = at::outer(at::arange(side, at::kDouble), 1.0 / at::pow(kBase, exponents));
  const at::Tensor angles = at::cat({by_row(steps, side), by_column(steps, side)}, 1);  // [side^2, D/2]
  const at::Tensor image_tokens = at::stack({angles.cos(), angles.sin()}, -1).to(at::kFloat);
  return at::cat({at::zeros({1, head_dim / 2, 2}), image_tokens});
}

at::Tensor rotate_pairs(const at::Tensor& x_BHLD, const at::Tensor& table_LP2) {
  const at::Tensor pairs = x_BHLD.to(at::kFloat).unflatten(-1, {-1, 2});
  const at::Tensor real = pairs.select(-1, 0), imaginary = pairs.select(-1, 1);
  const at::Tensor cosine = table_LP2.select(-1, 0), sine = table_LP2.select(-1, 1);
  const at::Tensor rotated =
      at::stack({real * cosine - imaginary * sine, imaginary * cosine + real * sine}, -1);
  return rotated.flatten(-2).to(x_BHLD.scalar_type());
}

}  // namespace bitlaw::distill
