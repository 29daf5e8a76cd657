// Logits so far apart that probabilities leave the range of float.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/distill/losses/row_problems.h"

namespace bitlaw::distill::kernels {
namespace {

// The same formulas in double with the logarithms of the masses kept, for rows that leave the range of float.
double conditional_by_hand(const Problem& problem, std::int64_t top_k) {
  const std::vector<bool> in_head = head_by_sorting(problem.teacher, top_k);
  const auto log_sum = [&](const std::vector<float>& z, int set) {
    double largest = -1e300;
    double sum = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      if (set < 0 || in_head[i] == (set == 0)) largest = std::max(largest, static_cast<double>(z[i]));
    }
    for (std::size_t i = 0; i < z.size(); ++i) {
      if (set < 0 || in_head[i] == (set == 0)) sum += std::exp(static_cast<double>(z[i]) - largest);
    }
    return largest + std::log(sum);
  };
  double loss = 0;
  for (const int set : {0, 1}) {  // head forward, tail reverse
    const double lp_set = log_sum(problem.teacher, set) - log_sum(problem.teacher, -1);
    const double lq_set = log_sum(problem.student, set) - log_sum(problem.student, -1);
    loss += std::exp(lp_set) * (lp_set - lq_set);
    for (std::size_t i = 0; i < in_head.size(); ++i) {
      if (in_head[i] != (set == 0)) continue;
      const double lp = static_cast<double>(problem.teacher[i]) - log_sum(problem.teacher, set);
      const double lq = static_cast<double>(problem.student[i]) - log_sum(problem.student, set);
      loss += set == 0 ? std::exp(lp_set + lp) * (lp - lq) : std::exp(lq_set + lq) * (lq - lp);
    }
  }
  return loss;
}

TEST(DivergenceRange, SurvivesProbabilitiesThatUnderflow) {
  Problem problem = random_problem(1, 96, 12);
  const auto far = [](std::vector<float>& z, std::size_t from, std::size_t to, float by) {
    for (std::size_t i = from; i < to; ++i) z[i] += by;
  };
  far(problem.teacher, 0, 20, 60);     // the head: the tail's teacher mass is e^-60
  far(problem.teacher, 90, 96, -400);  // p underflows
  far(problem.student, 50, 60, -900);  // q underflows
  far(problem.student, 0, 20, -150);   // the head's student mass underflows as well
  const DivergenceSpec spec{.top_k = 20, .norm = Norm::conditional};
  const Result result = run(spec, problem);
  const double expected = conditional_by_hand(problem, 20);
  EXPECT_NEAR(static_cast<double>(result.per_token[0]), expected, 1e-5 * expected);
  for (const DivergenceSpec& each : some_of_every_kind(20)) {
    const Result any = run(each, problem);
    EXPECT_TRUE(std::isfinite(any.per_token[0])) << data::enum_name(each.loss);
    for (const float g : any.gradient) ASSERT_TRUE(std::isfinite(g)) << data::enum_name(each.loss);
    if (each.loss == Loss::mse) continue;  // no softmax
    double sum = 0;
    for (const float g : any.gradient) sum += static_cast<double>(g);
    EXPECT_NEAR(sum, 0, 1e-3) << data::enum_name(each.loss);  // a shift of all logits does nothing
  }
}

}  // namespace
}  // namespace bitlaw::distill::kernels
