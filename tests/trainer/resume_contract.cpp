// What a later start of a run may go on from, and what it must not: continued, gone back, of another run,
// diverged.
#include <gmock/gmock.h>

#include <filesystem>

#include "data/formats/input_error.h"
#include "tests/support/group_runner.h"
#include "tests/support/message_of.h"
#include "tests/support/toy_run.h"
#include "trainer/eval_record.h"
#include "trainer/trainer.h"

namespace bitlaw::trainer {

namespace {

using test::message_of;
using testing::HasSubstr;

Outcome run(TrainerInputs inputs, Collective& c) {
  test::ToyTask task;
  return Trainer(std::move(inputs), task, c).run();
}

}  // namespace

TEST_P(TrainerContract, RanksThatDivergedAreFoundBeforeASave) {
  on_all_ranks([](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    const SharedFolder folder(c);
    test::ToyTask task;
    if (c.rank() == 1) {
      const at::NoGradGuard no_grad;
      task.toy().second->weight[0][0].add_(1e-3);
    }
    const std::string message =
        message_of<DivergedError>([&] { Trainer(toy_inputs(folder.path(), toy_config()), task, c); });
    EXPECT_THAT(message, HasSubstr("model/second.weight on rank 1"));
    EXPECT_THAT(message, testing::Not(HasSubstr("first.weight")));
  });
}

TEST_P(TrainerContract, ADivergenceBetweenTwoSavesIsNotCommitted) {
  on_all_ranks([](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    const SharedFolder folder(c);
    RunConfig config = toy_config();
    config.checkpoint.interval = 2;
    config.checkpoint.async = true;
    struct Diverging : test::ToyTask {
      explicit Diverging(int r) : rank(r) {}
      void end_step(const quant::Statistics& reduced, std::int64_t step) override {
        test::ToyTask::end_step(reduced, step);
        if (rank == 1 && step == 2) {
          const at::NoGradGuard no_grad;
          toy().second->weight[0][0].add_(1e-3);
        }
      }
      int rank;
    } task(c.rank());
    const std::string message =
        message_of<DivergedError>([&] { Trainer(toy_inputs(folder.path(), config), task, c).run(); });
    EXPECT_THAT(message, HasSubstr("step 4: replicas differ from rank 0: "));
    EXPECT_THAT(message, HasSubstr("model/second.weight on rank 1"));
    c.barrier();
    EXPECT_THAT(committed_steps(folder.path() / "checkpoints"), testing::ElementsAre(2));
  });
}

TEST_P(TrainerContract, AnotherConfigurationIsNotContinued) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    TrainerInputs first = toy_inputs(folder.path(), toy_config());
    first.stop_at = 3;
    run(std::move(first), c);

    RunConfig changed = toy_config();
    changed.optim.lr = 0.5;
    TrainerInputs other = toy_inputs(folder.path(), changed);
    other.resume_from = latest(folder.path());
    EXPECT_THAT(message_of<data::InputError>([&] { run(other, c); }),
                HasSubstr("optim.lr was 0.02 and is now 0.5"));

    RunConfig longer = toy_config();
    longer.train.max_steps = 9;
    TrainerInputs more = toy_inputs(folder.path(), longer);
    more.resume_from = latest(folder.path());
    EXPECT_THAT(message_of<data::InputError>([&] { run(more, c); }),
                HasSubstr("train.max_steps: 9, it was 6"));

    RunConfig shorter = toy_config();
    shorter.train.max_steps = 2;
    TrainerInputs less = toy_inputs(folder.path(), shorter);
    less.resume_from = latest(folder.path());
    EXPECT_THAT(message_of<data::InputError>([&] { run(less, c); }),
                HasSubstr("train.max_steps: 2, the run has made 3 steps already"));
  });
}

TEST_P(TrainerContract, AnEvaluationThatWasInterruptedIsMadeAfterTheResume) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    RunConfig config = toy_config();
    config.eval.interval = 2;
    config.eval.samples = 20;
    config.eval.micro_batch_size = 1;
    struct Asking : test::ToyTask {
      quant::Statistics evaluate(const data::Batch& batch) override {
        wish = true;
        return test::ToyTask::evaluate(batch);
      }
      bool wish = false;
    } asking;
    TrainerInputs first = toy_inputs(folder.path(), config);
    first.asked_to_stop = [&asking] { return asking.wish; };
    ASSERT_EQ(Trainer(std::move(first), asking, c).run(), Outcome::stopped);
    ASSERT_EQ(latest(folder.path()).step, 2);
    ASSERT_FALSE(std::filesystem::exists(eval_record_path(folder.path(), 2)));

    TrainerInputs second = toy_inputs(folder.path(), config);
    second.resume_from = latest(folder.path());
    c.barrier();
    ASSERT_EQ(run(std::move(second), c), Outcome::finished);
    c.barrier();
    for (const std::int64_t step : {2, 4, 6}) {
      EXPECT_TRUE(std::filesystem::exists(eval_record_path(folder.path(), step))) << step;
    }
  });
}

TEST_P(TrainerContract, GoingBackSetsLaterCheckpointsAside) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    RunConfig config = toy_config();
    config.checkpoint.interval = 2;
    ASSERT_EQ(run(toy_inputs(folder.path(), config), c), Outcome::finished);
    const auto checkpoints = folder.path() / "checkpoints";
    TrainerInputs back = toy_inputs(folder.path(), config);
    back.resume_from = read_checkpoint(checkpoint_path(checkpoints, 2));
    back.incarnation = 7;
    back.stop_at = 3;
    c.barrier();
    ASSERT_EQ(run(std::move(back), c), Outcome::stopped);
    c.barrier();
    EXPECT_THAT(committed_steps(checkpoints), testing::ElementsAre(2, 3));
    EXPECT_TRUE(std::filesystem::exists(checkpoints / "left-7-step-00000004" / "COMMITTED"));
    EXPECT_TRUE(std::filesystem::exists(checkpoints / "left-7-step-00000006" / "COMMITTED"));
  });
}

TEST_P(TrainerContract, AStateOfAnotherFolderIsSavedInThisOne) {
  on_all_ranks([](Collective& c) {
    const SharedFolder theirs(c);
    TrainerInputs first = toy_inputs(theirs.path(), toy_config());
    first.stop_at = 3;
    run(std::move(first), c);
    const SharedFolder ours(c);
    TrainerInputs second = toy_inputs(ours.path(), toy_config());
    second.resume_from = latest(theirs.path());
    second.stop_at = 3;
    ASSERT_EQ(run(std::move(second), c), Outcome::stopped);
    c.barrier();
    EXPECT_EQ(latest(ours.path()).texts.at("state_hash"), latest(theirs.path()).texts.at("state_hash"));
  });
}

}  // namespace bitlaw::trainer
