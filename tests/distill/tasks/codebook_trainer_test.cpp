// Moving averages by hand; splits over ranks to the bit; revival of dead codes.
#include "distill/tasks/codebook_trainer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

namespace bitlaw::distill {
namespace {

CodebookTensors make_tensors(std::int64_t codes, std::int64_t channels) {
  return {at::zeros({codes, channels}), at::zeros({codes}), at::zeros({codes, channels})};
}

Assignment make_assignment(std::int64_t samples, std::int64_t positions, std::int64_t codes,
                           std::int64_t channels) {
  Assignment assignment;
  assignment.vectors_NE = at::randn({samples * positions, channels}) * 3.0;
  assignment.codes_N = at::randint(codes, {samples * positions}, at::kLong);
  assignment.sample_ids_B = at::arange(100, 100 + samples, at::kLong);
  assignment.step = 5;
  return assignment;
}

Assignment slice(const Assignment& whole, std::int64_t first, std::int64_t count) {
  const std::int64_t positions = whole.vectors_NE.size(0) / whole.sample_ids_B.numel();
  return {whole.vectors_NE.narrow(0, first * positions, count * positions),
          whole.codes_N.narrow(0, first * positions, count * positions),
          whole.sample_ids_B.narrow(0, first, count), whole.step};
}

TEST(CodebookTrainer, MovingAveragesByHand) {
  CodebookTensors tensors = make_tensors(2, 1);
  tensors.counts_V.copy_(at::tensor({2.0F, 4.0F}));
  tensors.sums_VE.copy_(at::tensor({2.0F, 8.0F}).unsqueeze(1));
  tensors.codes_VE.copy_(at::tensor({1.0F, 2.0F}).unsqueeze(1));
  CodebookTrainer trainer(tensors, {.seed = 1, .decay = 0.5, .dead_threshold = 0.1});
  const Assignment assignment{at::tensor({3.0F, 5.0F}).unsqueeze(1), at::zeros({2}, at::kLong),
                              at::zeros({1}, at::kLong), 0};
  trainer.update(trainer.collect(assignment));
  // count_0 = .5*2 + .5*2 = 2, sum_0 = .5*2 + .5*8 = 5; code 1 has nothing new: its mean stays.
  EXPECT_TRUE(tensors.counts_V.equal(at::tensor({2.0F, 2.0F})));
  EXPECT_TRUE(tensors.codes_VE.equal(at::tensor({2.5F, 2.0F}).unsqueeze(1)));
}

// One rank with the whole batch, and two ranks with a part each, statistics merged: the same bits.
TEST(CodebookTrainer, SplitsOverRanksGiveTheSameCodebook) {
  const Assignment whole = make_assignment(6, 20, 40, 8);
  std::vector<CodebookTensors> results;
  for (const std::vector<std::int64_t>& parts : {std::vector<std::int64_t>{6}, {3, 3}, {1, 4, 1}}) {
    CodebookTensors tensors = make_tensors(40, 8);
    tensors.counts_V.narrow(0, 0, 10).fill_(1.0);  // 30 of 40 are dead
    CodebookTrainer trainer(tensors, {.seed = 3, .decay = 0.9, .dead_threshold = 0.5});
    quant::Statistics merged;
    std::int64_t first = 0;
    for (const std::int64_t count : parts) {
      const auto statistics = trainer.collect(slice(whole, first, count));
      if (first == 0) {
        merged = statistics;
      } else {
        merged.merge(statistics);
      }
      first += count;
    }
    trainer.update(merged);
    results.push_back(tensors);
  }
  for (std::size_t i = 1; i < results.size(); ++i) {
    EXPECT_TRUE(results[i].codes_VE.equal(results[0].codes_VE));
    EXPECT_TRUE(results[i].counts_V.equal(results[0].counts_V));
    EXPECT_TRUE(results[i].sums_VE.equal(results[0].sums_VE));
  }
}

// Bits below the 16th of the mantissa do not travel.
bool is_near_a_vector(const at::Tensor& code_E, const at::Tensor& vectors_NE) {
  const at::Tensor error = (vectors_NE - code_E).abs();
  return (error <= vectors_NE.abs() * 0x1p-15).all(1).any().item<bool>();
}

TEST(CodebookTrainer, TheFirstStepFillsTheCodebookWithVectorsOfTheBatch) {
  CodebookTensors tensors = make_tensors(16, 4);
  CodebookTrainer trainer(tensors, {.seed = 1});
  const Assignment assignment = make_assignment(8, 21, 16, 4);
  trainer.update(trainer.collect(assignment));
  std::set<float> distinct;
  for (std::int64_t v = 0; v < 16; ++v) {
    EXPECT_TRUE(is_near_a_vector(tensors.codes_VE[v], assignment.vectors_NE)) << v;
    distinct.insert(tensors.codes_VE[v][0].item<float>());
  }
  EXPECT_EQ(distinct.size(), 16U);
  EXPECT_EQ(trainer.alive_share(), 1.0);
}

TEST(CodebookTrainer, OnlyDeadCodesAreRevived) {
  CodebookTensors tensors = make_tensors(4, 2);
  tensors.codes_VE.fill_(7.0);
  tensors.counts_V.copy_(at::tensor({5.0F, 0.01F, 5.0F, 0.01F}));
  tensors.sums_VE.copy_(tensors.codes_VE * tensors.counts_V.unsqueeze(1));
  CodebookTrainer trainer(tensors, {.seed = 9, .decay = 0.99, .dead_threshold = 0.1});
  EXPECT_EQ(trainer.alive_share(), 0.5);
  Assignment assignment = make_assignment(2, 30, 4, 2);
  assignment.codes_N.fill_(3);  // code 3 was dead, is used now, and is its own again
  trainer.update(trainer.collect(assignment));
  EXPECT_TRUE(tensors.codes_VE[0].allclose(at::full({2}, 7.0F)));
  EXPECT_TRUE(is_near_a_vector(tensors.codes_VE[1], assignment.vectors_NE));
  EXPECT_TRUE(tensors.codes_VE[2].allclose(at::full({2}, 7.0F)));
  EXPECT_FALSE(is_near_a_vector(tensors.codes_VE[3], assignment.vectors_NE));
  EXPECT_NEAR(tensors.counts_V[3].item<double>(), 0.99 * 0.01 + 0.01 * 60, 1e-6);
}

TEST(CodebookTrainer, RevivalIsAFunctionOfSeedStepAndSample) {
  const Assignment assignment = make_assignment(4, 10, 8, 3);
  const auto revived = [&](std::uint64_t seed, std::int64_t step, std::int64_t first_sample) {
    CodebookTensors tensors = make_tensors(8, 3);
    CodebookTrainer trainer(tensors, {.seed = seed});
    Assignment changed = assignment;
    changed.step = step;
    changed.sample_ids_B = assignment.sample_ids_B + first_sample;
    trainer.update(trainer.collect(changed));
    return tensors.codes_VE;
  };
  EXPECT_TRUE(revived(1, 5, 0).equal(revived(1, 5, 0)));
  EXPECT_FALSE(revived(1, 5, 0).equal(revived(2, 5, 0)));
  EXPECT_FALSE(revived(1, 5, 0).equal(revived(1, 6, 0)));
  EXPECT_FALSE(revived(1, 5, 0).equal(revived(1, 5, 10)));
}

TEST(CodebookTrainer, FewerVectorsThanDeadCodesLeaveTheRestDead) {
  CodebookTensors tensors = make_tensors(64, 2);
  CodebookTrainer trainer(tensors, {.seed = 1});
  trainer.update(trainer.collect(make_assignment(1, 5, 64, 2)));
  const auto alive = tensors.counts_V.gt(0.0).sum().item<std::int64_t>();
  EXPECT_GE(alive, 1);
  EXPECT_LE(alive, 10);  // 5 revived and at most 5 assigned
  EXPECT_FALSE(tensors.codes_VE.isnan().any().item<bool>());
}

TEST(CodebookTrainer, AdoptedCodesSurviveTheFirstStep) {
  CodebookTensors tensors = make_tensors(4, 2);
  tensors.codes_VE.copy_(at::arange(8, at::kFloat).view({4, 2}));
  const at::Tensor before = tensors.codes_VE.clone();
  CodebookTrainer trainer(tensors, {.seed = 1, .decay = 0.99, .dead_threshold = 0.1});
  trainer.adopt_codes();
  Assignment assignment = make_assignment(1, 4, 4, 2);
  assignment.codes_N.fill_(0);
  trainer.update(trainer.collect(assignment));
  EXPECT_TRUE(tensors.codes_VE.narrow(0, 1, 3).allclose(before.narrow(0, 1, 3)));
}

}  // namespace
}  // namespace bitlaw::distill
