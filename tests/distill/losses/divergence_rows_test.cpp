// The kernel over raw pointers: the same bits on every instruction set, the head exactly, far-away logits.
#include "distill/losses/kernels/divergence_rows.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace bitlaw::distill::kernels {
namespace {

// Runs with one instruction set of those that this processor and this build have.
class OnTarget {
 public:
  explicit OnTarget(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~OnTarget() { hwy::SetSupportedTargetsForTest(0); }
  OnTarget(const OnTarget&) = delete;
  OnTarget& operator=(const OnTarget&) = delete;
};

std::vector<std::int64_t> targets_here() {
  std::vector<std::int64_t> targets;
  std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  for (; left != 0; left &= left - 1) targets.push_back(left & -left);
  return targets;
}

struct Problem {
  std::int64_t tokens, classes;
  std::vector<float> student, teacher, weights;
  std::vector<std::int64_t> targets;
};

Problem random_problem(std::int64_t tokens, std::int64_t classes, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Problem problem{tokens, classes, {}, {}, {}, {}};
  for (std::int64_t i = 0; i < tokens * classes; ++i) {
    problem.teacher.push_back(2 * normal(random));
    problem.student.push_back(problem.teacher.back() + 0.5F * normal(random));
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    problem.weights.push_back(1.0F / static_cast<float>(t + 1));
    problem.targets.push_back(static_cast<std::int64_t>(random() % static_cast<unsigned>(classes)));
  }
  return problem;
}

struct Result {
  std::vector<float> per_token, gradient;
  bool operator==(const Result& other) const {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
        return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
      });
    };
    return same(per_token, other.per_token) && same(gradient, other.gradient);
  }
};

RowBatch batch_of(const Problem& problem) {
  RowBatch batch;
  batch.student = problem.student.data();
  batch.teacher = problem.teacher.data();
  batch.targets = problem.targets.data();
  batch.weights = problem.weights.data();
  batch.vocab = problem.classes;
  return batch;
}

Result run(const DivergenceSpec& spec, const Problem& problem) {
  Result result{std::vector<float>(problem.weights.size()), std::vector<float>(problem.student.size())};
  RowBatch batch = batch_of(problem);
  batch.per_token = result.per_token.data();
  batch.gradient = result.gradient.data();
  divergence_rows(spec, batch, 0, problem.tokens);
  return result;
}

std::vector<std::uint16_t> to_bfloat16(const std::vector<float>& values) {
  std::vector<std::uint16_t> result;
  for (const float x : values)
    result.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16));
  return result;
}

Result run_bfloat16(const DivergenceSpec& spec, const Problem& problem) {
  const std::vector<std::uint16_t> student = to_bfloat16(problem.student);
  const std::vector<std::uint16_t> teacher = to_bfloat16(problem.teacher);
  std::vector<std::uint16_t> gradient(student.size());
  Result result{std::vector<float>(problem.weights.size()), {}};
  RowBatch batch = batch_of(problem);
  batch.student = student.data();
  batch.teacher = teacher.data();
  batch.student_type = LogitType::bfloat16;
  batch.teacher_type = LogitType::bfloat16;
  batch.per_token = result.per_token.data();
  batch.gradient = gradient.data();
  divergence_rows(spec, batch, 0, problem.tokens);
  for (const std::uint16_t bits : gradient) {
    result.gradient.push_back(std::bit_cast<float>(std::uint32_t{bits} << 16));
  }
  return result;
}

std::vector<DivergenceSpec> some_of_every_kind(std::int64_t top_k) {
  std::vector<DivergenceSpec> specs;
  for (const Direction head : {Direction::forward, Direction::reverse}) {
    for (const Direction tail : {Direction::forward, Direction::reverse}) {
      for (const Norm norm : {Norm::generalised, Norm::conditional}) {
        specs.push_back({.top_k = top_k, .head = head, .tail = tail, .norm = norm});
      }
    }
  }
  specs.push_back({.top_k = top_k, .set_source = SetSource::union_of_both, .temperature = 1.7});
  for (const Loss loss : {Loss::forward_kl, Loss::reverse_kl, Loss::jsd, Loss::cakld, Loss::skew_forward_kl,
                          Loss::skew_reverse_kl, Loss::akl, Loss::mse, Loss::cross_entropy}) {
    specs.push_back({.loss = loss, .top_k = 0, .temperature = 1.3});
  }
  return specs;
}

TEST(DivergenceRows, GivesTheSameBitsOnEveryInstructionSet) {
  ASSERT_GE(targets_here().size(), 1U);
  for (const std::int64_t classes : {1, 7, 255, 1024, 4096}) {
    const Problem problem = random_problem(3, classes, 3);
    for (const DivergenceSpec& spec : some_of_every_kind(classes * 900 / 4096)) {
      const Result best = run(spec, problem);
      const Result best_bfloat16 = run_bfloat16(spec, problem);
      for (const std::int64_t target : targets_here()) {
        const OnTarget only(target);
        EXPECT_TRUE(run(spec, problem) == best) << data::enum_name(spec.loss) << " on "
                                                << hwy::TargetName(target) << ", " << classes << " classes";
        EXPECT_TRUE(run_bfloat16(spec, problem) == best_bfloat16)
            << data::enum_name(spec.loss) << " in bfloat16 on " << hwy::TargetName(target);
      }
    }
  }
}

TEST(DivergenceRows, DoesNotDependOnHowRowsAreSplit) {
  const Problem problem = random_problem(9, 100, 5);
  const DivergenceSpec spec{.top_k = 22};
  const Result whole = run(spec, problem);
  Result parts{std::vector<float>(9), std::vector<float>(900)};
  RowBatch batch = batch_of(problem);
  batch.per_token = parts.per_token.data();
  batch.gradient = parts.gradient.data();
  for (const auto& [begin, end] : {std::pair{4, 9}, std::pair{0, 1}, std::pair{1, 4}}) {
    divergence_rows(spec, batch, begin, end);
  }
  EXPECT_TRUE(parts == whole);
}

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

std::vector<bool> head_by_sorting(const std::vector<float>& row, std::int64_t top_k) {
  std::vector<std::size_t> order(row.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return row[a] > row[b]; });
  std::vector<bool> head(row.size());
  for (std::int64_t k = 0; k < top_k; ++k) head[order[static_cast<std::size_t>(k)]] = true;
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

TEST(DivergenceRows, ChoosesTheHeadExactlyWithTiesByLowerIndex) {
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

TEST(DivergenceRows, SurvivesProbabilitiesThatUnderflow) {
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

TEST(DivergenceRows, VanishesWhereTheStudentIsTheTeacher) {
  Problem problem = random_problem(4, 200, 2);
  problem.student = problem.teacher;
  for (const DivergenceSpec& spec : some_of_every_kind(44)) {
    if (spec.loss == Loss::cross_entropy) continue;
    const Result result = run(spec, problem);
    for (const float loss : result.per_token) EXPECT_NEAR(loss, 0, 1e-7) << data::enum_name(spec.loss);
    for (const float g : result.gradient) ASSERT_NEAR(g, 0, 1e-8) << data::enum_name(spec.loss);
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

TEST(DivergenceRows, NaiveNormSharpensOrDrainsTheHead) {
  const auto fwd = Direction::forward;
  const auto rev = Direction::reverse;
  EXPECT_NEAR(head_mass_after_descent(fwd, rev, 0.90), 0.985, 5e-4);
  EXPECT_NEAR(head_mass_after_descent(fwd, rev, 0.79), 0.966, 5e-4);
  EXPECT_NEAR(head_mass_after_descent(rev, fwd, 0.95), 0.32, 5e-3);
  EXPECT_NEAR(head_mass_after_descent(rev, fwd, 0.79), 0.22, 5e-3);
  EXPECT_NEAR(head_mass_after_descent(rev, Direction::none, 0.90), 0.90 / std::exp(1), 1e-4);
  EXPECT_NEAR(head_mass_after_descent(fwd, fwd, 0.90), 0.90, 1e-5);  // the full divergence stays
}

TEST(DivergenceRows, WorkspaceIsAFewRows) {
  RowBatch batch;
  batch.vocab = 4096;
  batch.student = batch.teacher = batch.gradient = &batch;
  EXPECT_LE(workspace_bytes(batch), std::size_t{3 * 4096 * 4});
  batch.student_type = batch.teacher_type = LogitType::bfloat16;
  EXPECT_LE(workspace_bytes(batch), std::size_t{6 * 4096 * 4});
}

}  // namespace
}  // namespace bitlaw::distill::kernels
