// Label drop and token weights: functions of logical ids alone.
#include "distill/tasks/token_input.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "distill/tasks/var_task.h"

namespace bitlaw::distill {
namespace {

constexpr std::int64_t kDropped = 10;

data::Batch make_batch(std::int64_t first, std::int64_t count, std::int64_t step) {
  data::Batch batch;
  batch.labels = at::arange(first, first + count, at::kLong).remainder(10);
  batch.sample_ids = at::arange(first, first + count, at::kLong);
  batch.step = step;
  return batch;
}

TEST(DropLabels, IsTheSameForEverySplitOfTheBatch) {
  const at::Tensor whole = drop_labels(make_batch(0, 64, 3), 7, 0.3, kDropped);
  const at::Tensor parts = at::cat({drop_labels(make_batch(0, 16, 3), 7, 0.3, kDropped),
                                    drop_labels(make_batch(16, 48, 3), 7, 0.3, kDropped)});
  EXPECT_TRUE(whole.equal(parts));
}

TEST(DropLabels, DependsOnSeedStepAndSample) {
  const at::Tensor base = drop_labels(make_batch(0, 256, 3), 7, 0.3, kDropped).eq(kDropped);
  EXPECT_TRUE(base.equal(drop_labels(make_batch(0, 256, 3), 7, 0.3, kDropped).eq(kDropped)));
  EXPECT_FALSE(base.equal(drop_labels(make_batch(0, 256, 4), 7, 0.3, kDropped).eq(kDropped)));
  EXPECT_FALSE(base.equal(drop_labels(make_batch(0, 256, 3), 8, 0.3, kDropped).eq(kDropped)));
  EXPECT_FALSE(base.equal(drop_labels(make_batch(256, 256, 3), 7, 0.3, kDropped).eq(kDropped)));
}

TEST(DropLabels, DropsTheAskedShareAndLeavesTheRest) {
  const data::Batch batch = make_batch(0, 20000, 0);
  const at::Tensor labels = drop_labels(batch, 1, 0.1, kDropped);
  const at::Tensor dropped = labels.eq(kDropped);
  EXPECT_NEAR(dropped.to(at::kDouble).mean().item<double>(), 0.1, 0.01);  // 4.7 standard deviations
  EXPECT_TRUE(at::where(dropped, batch.labels, labels).equal(batch.labels));
  EXPECT_FALSE(drop_labels(batch, 1, 0.0, kDropped).eq(kDropped).any().item<bool>());
  EXPECT_TRUE(drop_labels(batch, 1, 1.0, kDropped).eq(kDropped).all().item<bool>());
  EXPECT_FALSE(batch.labels.eq(kDropped).any().item<bool>());  // the batch is untouched
}

TEST(TokenWeights, AreAMeanOverTokens) {
  const at::Tensor weights = token_weights({1, 2}, {}, 3);
  EXPECT_TRUE(weights.allclose(at::full({15}, 1.0 / 15.0)));
}

TEST(TokenWeights, FollowTheScales) {
  // 1 token of weight 2, 4 of weight 0.5: the sum of one sample is 4, of two samples 8.
  const at::Tensor weights = token_weights({1, 2}, {2.0, 0.5}, 2);
  const at::Tensor sample = at::tensor({2.0F, 0.5F, 0.5F, 0.5F, 0.5F}) / 8.0;
  EXPECT_TRUE(weights.allclose(at::cat({sample, sample})));
}

}  // namespace
}  // namespace bitlaw::distill
