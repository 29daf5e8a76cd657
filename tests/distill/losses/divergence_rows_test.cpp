// The kernel over raw pointers: the same bits on every instruction set and however rows are split.
#include <gtest/gtest.h>

#include "tests/distill/losses/row_problems.h"

namespace bitlaw::distill::kernels {
namespace {

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
