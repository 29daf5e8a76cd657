// Rows of logits for tests of the divergence kernel, and the kernel run on them.
#pragma once

#include <hwy/targets.h>

#include <cstdint>
#include <vector>

#include "distill/losses/kernels/divergence_rows.h"

namespace bitlaw::distill::kernels {

// Runs with one instruction set of those that this processor and this build have.
class OnTarget {
 public:
  explicit OnTarget(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~OnTarget() { hwy::SetSupportedTargetsForTest(0); }
  OnTarget(const OnTarget&) = delete;
  OnTarget& operator=(const OnTarget&) = delete;
};

std::vector<std::int64_t> targets_here();  // one bit each

struct Problem {
  std::int64_t tokens, classes;
  std::vector<float> student, teacher, weights;
  std::vector<std::int64_t> targets;
};

Problem random_problem(std::int64_t tokens, std::int64_t classes, unsigned seed);

// Compared bit by bit.
struct Result {
  std::vector<float> per_token, gradient;
  bool operator==(const Result& other) const;
};

RowBatch batch_of(const Problem& problem);  // refers to the problem; results are not set
Result run(const DivergenceSpec& spec, const Problem& problem);
Result run_bfloat16(const DivergenceSpec& spec, const Problem& problem);  // logits truncated to bfloat16

std::vector<DivergenceSpec> some_of_every_kind(std::int64_t top_k);

// The top_k largest of a row; of equal ones those of lower index.
std::vector<bool> head_by_sorting(const std::vector<float>& row, std::int64_t top_k);

}  // namespace bitlaw::distill::kernels
