// A layer for the tests of methods: a weight, inputs with a loud channel and correlated ones.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "quant/input_statistics.h"
#include "quant/methods/hadamard.h"
#include "quant/methods/layer_codes.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {

struct LayerProblem {
  at::Tensor weight;  // float32 [out, in]
  at::Tensor input;   // float32 [rows, in]
  InputStatistics inputs;
};

// Every channel goes with its neighbour, channel 3 is ten times as loud as the others.
inline LayerProblem layer_problem(std::int64_t out, std::int64_t in, std::uint64_t seed) {
  LayerProblem problem;
  problem.weight = normal_tensor({out, in}, seed) * 0.05;
  problem.input = normal_tensor({4 * in, in}, seed + 1);
  for (std::int64_t i = 1; i < in; ++i) {
    problem.input.select(1, i).add_(problem.input.select(1, i - 1), 0.8);
  }
  problem.input.select(1, 3).mul_(10.0);
  Statistics statistics;
  observe_input(statistics, "layer", problem.input);
  problem.inputs = input_statistics(statistics, "layer");
  return problem;
}

// mean over rows and outputs of (D x)^2, from the rows themselves, in double.
inline double output_error_from_rows(const LayerProblem& problem, const at::Tensor& weight_error) {
  return at::matmul(problem.input.to(at::kDouble), weight_error.to(at::kDouble).t())
      .pow(2)
      .mean()
      .item<double>();
}

// What the codes do to the layer's output, input transform included.
inline double error_of(const LayerProblem& problem, const LayerCodes& codes, const QuantSpec& spec) {
  at::Tensor x = problem.input.to(at::kDouble);
  const at::Tensor expected = at::matmul(x, problem.weight.to(at::kDouble).t());
  if (codes.input_multiplier.defined()) {
    x = x * codes.input_multiplier.to(at::kDouble);
  }
  if (codes.hadamard_block > 0) {
    x = rotate(x, codes.hadamard_block);
  }
  const at::Tensor found = at::matmul(x, dequantise(codes, spec).to(at::kDouble).t());
  return (found - expected).pow(2).mean().item<double>();
}

inline const std::vector<std::string> kSpecs = {"int4.g32.sym", "int3.g32.asym", "int2h.g32.sym",
                                                "int3.channel.sym", "int4.channel.asym.float32"};

}  // namespace bitlaw::quant
