// Statistics over ranks, evaluation and votes: the same on every rank, and on any number of them.
#include <gmock/gmock.h>

#include "data/formats/input_error.h"
#include "tests/support/group_runner.h"
#include "tests/support/toy_task.h"
#include "trainer/comm/thread_group.h"
#include "trainer/evaluate.h"
#include "trainer/statistics_reduction.h"
#include "trainer/stop_vote.h"

namespace bitlaw::trainer {

namespace {

quant::Statistics piece(std::int64_t number) {
  quant::Statistics statistics;
  statistics.add("sum", at::sin(at::arange(3, at::kDouble) + static_cast<double>(number)));
  statistics.add("count", 1.0);
  statistics.minimum("least", at::full({2}, static_cast<double>(10 - number), at::kDouble));
  statistics.maximum("most", at::full({}, static_cast<double>(number), at::kDouble));
  return statistics;
}

EvalConfig eval_config(std::int64_t samples, std::int64_t micro_batch_size) {
  EvalConfig config;
  config.samples = samples;
  config.micro_batch_size = micro_batch_size;
  return config;
}

}  // namespace

TEST_P(ReductionContract, StatisticsAreMergedInTheOrderOfRanks) {
  on_all_ranks([](Collective& c) {
    const quant::Statistics reduced = reduce_statistics(piece(c.rank()), c);
    quant::Statistics expected;
    for (int rank = 0; rank < c.size(); ++rank) {
      expected.merge(piece(rank));
    }
    ASSERT_EQ(reduced.entries().size(), 4U);
    for (const auto& [name, entry] : expected.entries()) {
      EXPECT_EQ(static_cast<int>(reduced.entries().at(name).op), static_cast<int>(entry.op));
      EXPECT_TRUE(at::equal(reduced.at(name), entry.value)) << name;
    }
  });
}

TEST_P(ReductionContract, StatisticsWithOtherNamesAreRefused) {
  on_all_ranks([](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    quant::Statistics mine;
    mine.add(c.rank() == 0 ? "usage" : "usages", at::ones({4}));
    EXPECT_THROW(reduce_statistics(mine, c), std::invalid_argument);
  });
}

TEST_P(ReductionContract, PiecesAreMergedInTheOrderOfTheirNumbers) {
  on_all_ranks([](Collective& c) {
    for (const std::int64_t count : {1, 2, 7}) {
      std::map<std::int64_t, quant::Statistics> mine;
      quant::Statistics expected;
      for (std::int64_t number = 0; number < count; ++number) {
        expected.merge(piece(number));
        if (number % c.size() == c.rank()) {
          mine.emplace(number, piece(number));
        }
      }
      const quant::Statistics merged = merge_pieces(mine, count, c);
      for (const auto& [name, entry] : expected.entries()) {
        EXPECT_TRUE(at::equal(merged.at(name), entry.value)) << name;
      }
    }
  });
}

TEST_P(ReductionContract, EvaluationHasTheSameBitsOnAnyNumberOfRanks) {
  on_all_ranks([](Collective& c) {
    test::ToyTask task;
    task.model().train();
    const auto serial = make_serial_collective();
    const auto dataset = test::toy_dataset(45);
    for (const auto& config : {eval_config(40, 6), eval_config(3, 50), eval_config(1000, 5)}) {
      const auto one = evaluate(task, *dataset, {config, Precision::fp32}, *serial);
      const auto all = evaluate(task, *dataset, {config, Precision::fp32}, c);
      EXPECT_TRUE(at::equal(one.at("loss_sum"), all.at("loss_sum")));
      EXPECT_EQ(all.scalar("samples"), static_cast<double>(std::min<std::int64_t>(45, config.samples)));
      EXPECT_EQ(all.scalar("last"), all.scalar("samples") - 1.0);
    }
    EXPECT_TRUE(task.model().is_training());
  });
}

TEST_P(ReductionContract, EvaluationOfNothingIsTheUsersMistake) {
  on_all_ranks([](Collective& c) {
    class Empty : public data::Dataset {
     public:
      const data::DatasetInfo& info() const override { return info_; }
      data::Batch read(std::span<const std::int64_t> /*indices*/) const override { return {}; }

     private:
      data::DatasetInfo info_;
    };
    test::ToyTask task;
    EXPECT_THROW(evaluate(task, Empty(), {eval_config(1, 1), Precision::fp32}, c), data::InputError);
  });
}

TEST_P(ReductionContract, AVoteIsKnownToAllAtTheNextPoint) {
  on_all_ranks([](Collective& c) {
    StopVote vote(c);
    EXPECT_FALSE(vote.next(false));
    EXPECT_FALSE(vote.next(c.rank() + 1 == c.size()));  // cast by one rank
    EXPECT_TRUE(vote.next(false));
  });
}

}  // namespace bitlaw::trainer
