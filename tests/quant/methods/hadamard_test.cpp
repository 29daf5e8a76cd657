// Hadamard rotation: orthonormal, its definition element by element, and it leaves the layer's function
// alone.
#include "quant/methods/hadamard.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <bit>
#include <cmath>

#include "tests/quant/methods/layer_problem.h"

namespace bitlaw::quant {
namespace {

at::Tensor matrix_of(std::int64_t block) {  // column j is R e_j
  return rotate(at::eye(block, at::kDouble), block).t();
}

TEST(Hadamard, ExistsForTheOrdersThatHaveAMatrix) {
  for (const std::int64_t block : {2, 4, 32, 64, 128, 4096}) {
    EXPECT_TRUE(has_hadamard(block)) << block;
  }
  for (const std::int64_t block : {0, 1, 3, 12, 96, -4}) {
    EXPECT_FALSE(has_hadamard(block)) << block;
  }
}

TEST(Hadamard, IsOrthonormalWithEntriesOfOneMagnitude) {
  for (const std::int64_t block : {2, 8, 64, 128}) {
    const at::Tensor r = matrix_of(block);
    const double off = (at::matmul(r, r.t()) - at::eye(block, at::kDouble)).abs().max().item<double>();
    EXPECT_LT(off, 1e-14) << block;
    const double size = 1.0 / std::sqrt(static_cast<double>(block));
    EXPECT_LT((r.abs() - size).abs().max().item<double>(), 1e-15) << block;
  }
}

TEST(Hadamard, IsSylvestersMatrixForPowersOfTwo) {
  const at::Tensor r = matrix_of(16) * 4.0;
  for (unsigned i = 0; i < 16; ++i) {
    for (unsigned j = 0; j < 16; ++j) {
      const double expected = std::popcount(i & j) % 2 == 0 ? 1.0 : -1.0;
      EXPECT_EQ(r[i][j].item<double>(), expected) << i << " " << j;
    }
  }
}

TEST(Hadamard, KeepsTheFunctionOfALayer) {
  const LayerProblem problem = layer_problem(8, 48, 3);
  const at::Tensor weight = problem.weight.to(at::kDouble);
  const at::Tensor x = problem.input.to(at::kDouble);
  for (const std::int64_t block : {2, 16}) {
    const at::Tensor expected = at::matmul(x, weight.t());
    const at::Tensor rotated_product = at::matmul(rotate(x, block), rotate(weight, block).t());
    EXPECT_LT((expected - rotated_product).abs().max().item<double>(), 1e-12) << block;
  }
}

TEST(Hadamard, StatisticsOfTheRotatedInputAreThoseOfItsRows) {
  const LayerProblem problem = layer_problem(8, 48, 4);
  for (const std::int64_t block : {2, 16}) {
    Statistics statistics;
    observe_input(statistics, "x", rotate(problem.input.to(at::kDouble), block));
    const InputStatistics expected = input_statistics(statistics, "x");
    const InputStatistics ours = rotated(problem.inputs, block);
    EXPECT_EQ(ours.count, expected.count);
    EXPECT_LT(((ours.gram - expected.gram).abs().max() / expected.gram.abs().max()).item<double>(), 1e-13);
  }
}

TEST(Hadamard, GradientIsTheInverseRotationAndAutocastChangesNothing) {
  const at::Tensor x = normal_tensor({3, 32}, 5).requires_grad_();
  const at::Tensor grad = normal_tensor({3, 32}, 6);
  const at::Tensor y = rotate(x, 32);
  const at::Tensor found = torch::autograd::grad({y}, {x}, {grad})[0];
  const at::Tensor r = matrix_of(32).to(at::kFloat);
  EXPECT_LT((found - at::matmul(grad, r)).abs().max().item<double>(), 1e-6);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor same = rotate(x.detach(), 32);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_TRUE(same_bits(same, y));
}

}  // namespace
}  // namespace bitlaw::quant
