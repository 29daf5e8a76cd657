// The head that the kernel chooses: exactly the largest teacher logits; and where its mass goes in training.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>

#include "tests/distill/losses/row_problems.h"

namespace bitlaw::distill::kernels {
namespace {

// The head that the kernel chose, read off the gradient: the student is sure of a class that the row does not
// use otherwise, so that elsewhere dL/dz_i is -p_i within the head and 0 outside.
std::vector<bool> chosen_head(const std::vector<float>& row, std::int64_t top_k) {
  Problem problem{1, static_cast<std::int64_t>(row.size()) + 1, {}, row, {1.0F}, {0}};
  problem.teacher.push_back(row[0] - 40);  // far below: never among the top_k
  for (const float x : row) problem.teacher.back() = std::min(problem.teacher.back(), x - 40);
  problem.student.assign(row.size(), -200.0F);
  problem.student.push_back(0.0F);
  const DivergenceSpec spec{.top_k = top_k, .tail = Direction::none, .norm = Norm::naive};
  const Result result = run(spec, problem);
  std::vector<bool> head;
  for (std::size_t i = 0; i < row.size(); ++i) head.push_back(result.gradient[i] < 0);
  return head;
}

void expect_exact_heads(const std::string& what, const std::vector<float>& row) {
  const auto size = static_cast<std::int64_t>(row.size());
  for (const std::int64_t top_k :
       {std::int64_t{1}, std::int64_t{2}, size / 7, size * 900 / 4096, size / 2, size - 1, size}) {
    if (top_k < 1 || top_k > size) continue;
    EXPECT_EQ(chosen_head(row, top_k), head_by_sorting(row, top_k))
        << what << ", K " << top_k << " of " << size;
  }
}

std::vector<float> row_of(std::size_t size, const std::function<float(std::size_t)>& value) {
  std::vector<float> row;
  for (std::size_t i = 0; i < size; ++i) row.push_back(value(i));
  return row;
}

TEST(DivergenceHead, ChoosesTheHeadExactlyWithTiesByLowerIndex) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::int64_t target : targets_here()) {
    const OnTarget only(target);
    SCOPED_TRACE(hwy::TargetName(target));
    for (const std::size_t size : {1, 15, 16, 17, 63, 64, 65, 66, 100, 255, 1000, 4095}) {
      const auto f = [](std::size_t i) { return static_cast<float>(i); };
      expect_exact_heads("random", row_of(size, [&](std::size_t) { return 2 * normal(random); }));
      expect_exact_heads("rounded",
                         row_of(size, [&](std::size_t) { return std::round(2 * normal(random)); }));
      expect_exact_heads("equal", row_of(size, [](std::size_t) { return 1.5F; }));
      expect_exact_heads("two values",
                         row_of(size, [&](std::size_t) { return random() % 4 == 0 ? 1.0F : 0.0F; }));
      expect_exact_heads("signed zeros",
                         row_of(size, [&](std::size_t i) { return i % 3 == 0 ? -0.0F : 0.0F; }));
      expect_exact_heads("rising", row_of(size, [&](std::size_t i) { return f(i) * 0.005F; }));
      expect_exact_heads("falling", row_of(size, [&](std::size_t i) { return f(i) * -0.005F; }));
      expect_exact_heads("periodic", row_of(size, [&](std::size_t i) { return f(i * 37 % 128) * 0.1F; }));
      expect_exact_heads("one peak",
                         row_of(size, [&](std::size_t i) { return i == size / 2 ? 20.0F : 0.0F; }));
    }
  }
}

// Mass of the head after gradient descent in logit space from the teacher itself; 20 classes, 6 in the head.
double head_mass_after_descent(Direction head, Direction tail, double teacher_mass) {
  Problem problem{1, 20, {}, {}, {1.0F}, {}};
  for (int i = 0; i < 20; ++i) {
    const double p = i < 6 ? teacher_mass * (6 - i) / 21 : (1 - teacher_mass) / 14;
    problem.teacher.push_back(static_cast<float>(std::log(p)));
  }
  problem.student = problem.teacher;
  const DivergenceSpec spec{.top_k = 6, .head = head, .tail = tail, .norm = Norm::naive};
  for (int step = 0; step < 20000; ++step) {
    const Result result = run(spec, problem);
    for (std::size_t i = 0; i < 20; ++i) problem.student[i] -= result.gradient[i];
  }
  double in_head = 0;
  double all = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    const double q = std::exp(static_cast<double>(problem.student[i]));
    all += q;
    in_head += i < 6 ? q : 0;
  }
  return in_head / all;
}

TEST(DivergenceHead, NaiveNormSharpensOrDrainsTheHead) {
  const auto fwd = Direction::forward;
  const auto rev = Direction::reverse;
  EXPECT_NEAR(head_mass_after_descent(fwd, rev, 0.90), 0.985, 5e-4);
  EXPECT_NEAR(head_mass_after_descent(fwd, rev, 0.79), 0.966, 5e-4);
  EXPECT_NEAR(head_mass_after_descent(rev, fwd, 0.95), 0.32, 5e-3);
  EXPECT_NEAR(head_mass_after_descent(rev, fwd, 0.79), 0.22, 5e-3);
  EXPECT_NEAR(head_mass_after_descent(rev, Direction::none, 0.90), 0.90 / std::exp(1), 1e-4);
  EXPECT_NEAR(head_mass_after_descent(fwd, fwd, 0.90), 0.90, 1e-5);  // the full divergence stays
}

}  // namespace
}  // namespace bitlaw::distill::kernels
