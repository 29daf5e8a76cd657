#include "tests/distill/losses/row_problems.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

namespace bitlaw::distill::kernels {

namespace {

std::vector<std::uint16_t> to_bfloat16(const std::vector<float>& values) {
  std::vector<std::uint16_t> result;
  for (const float x : values)
    result.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16));
  return result;
}

}  // namespace

std::vector<std::int64_t> targets_here() {
  std::vector<std::int64_t> targets;
  std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  for (; left != 0; left &= left - 1) targets.push_back(left & -left);
  return targets;
}

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

bool Result::operator==(const Result& other) const {
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
      return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
    });
  };
  return same(per_token, other.per_token) && same(gradient, other.gradient);
}

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

std::vector<bool> head_by_sorting(const std::vector<float>& row, std::int64_t top_k) {
  std::vector<std::size_t> order(row.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return row[a] > row[b]; });
  std::vector<bool> head(row.size());
  for (std::int64_t k = 0; k < top_k; ++k) head[order[static_cast<std::size_t>(k)]] = true;
  return head;
}

}  // namespace bitlaw::distill::kernels
