#include "trainer/trainer.h"

#include <gmock/gmock.h>

#include "data/formats/input_error.h"
#include "quant/containers/model_state.h"
#include "tests/support/group_runner.h"
#include "tests/support/message_of.h"
#include "tests/support/toy_run.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer {

namespace {

using test::message_of;
using testing::HasSubstr;

Outcome run(TrainerInputs inputs, Collective& c) {
  test::ToyTask task;
  return Trainer(std::move(inputs), task, c).run();
}

void expect_near(const CheckpointState& a, const CheckpointState& b, double tolerance) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(at::allclose(tensor, b.tensors.at(name), tolerance, tolerance)) << name;
  }
}

}  // namespace

TEST_P(TrainerContract, ResumesToTheBitFromEveryStep) {
  on_all_ranks([](Collective& c) {
    const SharedFolder whole(c);
    RunConfig config = toy_config();
    config.eval.interval = 2;
    ASSERT_EQ(run(toy_inputs(whole.path(), config), c), Outcome::finished);
    const CheckpointState expected = latest(whole.path());
    EXPECT_EQ(expected.step, 6);
    EXPECT_EQ(expected.texts.at("samples_seen"), "96");
    EXPECT_EQ(expected.texts.at("world_size"), std::to_string(c.size()));
    for (std::int64_t stop_at = 0; stop_at <= 5; ++stop_at) {
      const SharedFolder folder(c);
      TrainerInputs first = toy_inputs(folder.path(), config);
      first.stop_at = stop_at;
      ASSERT_EQ(run(std::move(first), c), Outcome::stopped);
      TrainerInputs second = toy_inputs(folder.path(), config);
      second.resume_from = latest(folder.path());
      EXPECT_EQ(second.resume_from->step, stop_at);
      c.barrier();
      ASSERT_EQ(run(std::move(second), c), Outcome::finished);
      const CheckpointState resumed = latest(folder.path());
      EXPECT_EQ(resumed.texts.at("parameter_hash"), expected.texts.at("parameter_hash")) << stop_at;
      EXPECT_EQ(resumed.texts.at("state_hash"), expected.texts.at("state_hash")) << stop_at;
    }
  });
}

TEST_P(TrainerContract, SavesEverythingUnderItsName) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    run(toy_inputs(folder.path(), toy_config()), c);
    const CheckpointState state = latest(folder.path());
    for (const std::string name :
         {"model/first.weight", "model/first.bias", "model/first.weight_quantizer.log_scale", "model/gain",
          "model/level", "model/seen", "ema/first.weight", "ema/first.weight_quantizer.log_scale",
          "ema/level", "exp_avg/second.weight", "exp_avg_sq/second.weight",
          "exp_avg/first.weight_quantizer.log_scale"}) {
      EXPECT_EQ(state.tensors.count(name), 1U) << name;
    }
    EXPECT_EQ(state.tensors.count("ema/seen"), 0U);
    EXPECT_EQ(state.tensors.at("model/seen").item<float>(), 96.0F);
    EXPECT_GT(state.tensors.at("exp_avg/first.weight_quantizer.log_scale").abs().max().item<float>(), 0.0F);
    EXPECT_TRUE(at::equal(state.tensors.at("model/unused"), at::ones({3})));
    EXPECT_FALSE(at::equal(state.tensors.at("ema/first.weight"), state.tensors.at("model/first.weight")));
  });
}

TEST_P(TrainerContract, RanksAndMicroBatchesSplitOneBatch) {
  on_all_ranks([](Collective& c) {
    const SharedFolder together(c);
    run(toy_inputs(together.path(), toy_config()), c);  // 16 = ranks x micro batches x 4
    const test::TemporaryFolder alone;
    const auto serial = make_serial_collective();
    run(toy_inputs(alone.path(), toy_config()), *serial);
    expect_near(latest(together.path()), latest(alone.path()), 2e-5);
  });
}

TEST_P(TrainerContract, OneRanksWishStopsAllAtOneStep) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    TrainerInputs inputs = toy_inputs(folder.path(), toy_config());
    test::ToyTask task;
    bool wish = false;
    task.before_loss = [&](const data::Batch& batch) { wish = c.rank() + 1 == c.size() && batch.step >= 3; };
    inputs.asked_to_stop = [&] { return wish; };
    EXPECT_EQ(Trainer(std::move(inputs), task, c).run(), Outcome::stopped);
    // The wish comes up in the first micro batch of step 3. With four of them the others learn of it in time
    // to give the step up; with two or one, at its end.
    EXPECT_EQ(latest(folder.path()).step, c.size() == 1 ? 3 : 4);

    TrainerInputs rest = toy_inputs(folder.path(), toy_config());
    rest.resume_from = latest(folder.path());
    c.barrier();
    EXPECT_EQ(run(std::move(rest), c), Outcome::finished);
    const SharedFolder whole(c);
    run(toy_inputs(whole.path(), toy_config()), c);
    EXPECT_EQ(latest(folder.path()).texts.at("state_hash"), latest(whole.path()).texts.at("state_hash"));
  });
}

TEST_P(TrainerContract, AWishBeforeTheFirstStepStops) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    TrainerInputs inputs = toy_inputs(folder.path(), toy_config());
    inputs.asked_to_stop = [&] { return c.rank() == 0; };
    EXPECT_EQ(run(std::move(inputs), c), Outcome::stopped);
    EXPECT_EQ(latest(folder.path()).step, 0);
  });
}

TEST_P(TrainerContract, ANotFiniteLossStopsAllBeforeTheUpdate) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    test::ToyTask task;
    task.poisoned_sample = 2 * 16 + 13;  // of step 2, in the last quarter
    Trainer trainer(toy_inputs(folder.path(), toy_config()), task, c);
    const std::string message = message_of<NotFiniteError>([&] { trainer.run(); });
    EXPECT_THAT(message, HasSubstr("step 2: loss is nan, error is nan (samples 44..47) on rank " +
                                   std::to_string(c.size() - 1)));

    const SharedFolder clean(c);
    TrainerInputs until = toy_inputs(clean.path(), toy_config());
    until.stop_at = 2;
    run(std::move(until), c);
    EXPECT_EQ(quant::parameter_hash(task.model()), latest(clean.path()).texts.at("parameter_hash"));
  });
}

TEST_P(TrainerContract, WhatLedToANotFiniteStepIsKept) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    RunConfig config = toy_config();
    config.checkpoint.interval = 2;
    config.checkpoint.async = true;
    test::ToyTask task;
    task.poisoned_sample = 2 * 16 + 13;  // of step 2; lines are due at step 4
    Trainer trainer(toy_inputs(folder.path(), config), task, c);
    EXPECT_THROW(trainer.run(), NotFiniteError);
    c.barrier();
    EXPECT_EQ(metrics(folder.path()).size(), 2U);
    EXPECT_THAT(committed_steps(folder.path() / "checkpoints"), testing::ElementsAre(2));
  });
}

// What was saved is kept, and so are the figures: they say what was wrong.
TEST_P(TrainerContract, AnEvaluationThatIsNotFiniteIsNoFinishedRun) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    RunConfig config = toy_config();
    config.train.max_steps = 0;
    config.schedule.warmup_steps = 0;
    test::ToyTask task;
    const at::NoGradGuard no_grad;
    task.toy().gain.fill_(std::numeric_limits<float>::quiet_NaN());
    Trainer trainer(toy_inputs(folder.path(), config), task, c);
    EXPECT_THAT(message_of<NotFiniteError>([&] { trainer.run(); }),
                HasSubstr("validation at step 0: error nan ["));
    c.barrier();
    EXPECT_EQ(latest(folder.path()).step, 0);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "eval" / "step-00000000.json"));
  });
}

TEST_P(TrainerContract, ANotFiniteGradientNamesTheParameters) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    // A loss that is finite (0) with an infinite slope at 0.
    class Sharp : public test::ToyTask {
     public:
      distill::LossTerms loss(const data::Batch& batch) override {
        distill::LossTerms terms = test::ToyTask::loss(batch);
        if (batch.step == 1) {
          terms.total = terms.total + (toy().unused - 1.0).abs().sqrt().sum();
        }
        return terms;
      }
    } sharp;
    Trainer trainer(toy_inputs(folder.path(), toy_config()), sharp, c);
    const std::string message = message_of<NotFiniteError>([&] { trainer.run(); });
    EXPECT_THAT(message, HasSubstr("step 1: the gradient norm is nan (unused)"));
  });
}

TEST_P(TrainerContract, MetricsHaveOneLineAStep) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    run(toy_inputs(folder.path(), toy_config()), c);
    if (c.rank() != 0) {
      return;
    }
    const auto lines = metrics(folder.path());
    ASSERT_EQ(lines.size(), 6U);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(lines[i]["step"], i + 1);
      EXPECT_EQ(lines[i]["samples_seen"], 16 * (i + 1));
      for (const std::string key : {"wall_time", "lr", "grad_norm", "loss", "error", "gain", "step_seconds",
                                    "tokens_per_second", "data_wait", "comm_wait", "checkpoint_pause"}) {
        EXPECT_TRUE(lines[i].contains(key)) << key;
      }
      EXPECT_NEAR(lines[i]["loss"].get<double>(),
                  lines[i]["error"].get<double>() + lines[i]["gain"].get<double>(), 1e-6);
    }
    EXPECT_DOUBLE_EQ(lines[0]["lr"].get<double>(), 0.01);
    EXPECT_DOUBLE_EQ(lines[5]["lr"].get<double>(), 0.002);
    EXPECT_LT(lines[5]["loss"].get<double>(), lines[0]["loss"].get<double>());
    std::ifstream in(folder.path() / "eval" / "step-00000006.json");
    const auto figures = nlohmann::json::parse(in);
    EXPECT_EQ(figures["step"], 6);
    EXPECT_EQ(figures["samples"], 12);
    EXPECT_EQ(figures["precision"], "fp32");
    EXPECT_GT(figures["error"].get<double>(), 0.0);
  });
}

TEST_P(TrainerContract, MetricsPastTheResumedStepAreCut) {
  on_all_ranks([](Collective& c) {
    const SharedFolder folder(c);
    RunConfig config = toy_config();
    config.checkpoint.interval = 3;
    run(toy_inputs(folder.path(), config), c);
    TrainerInputs again = toy_inputs(folder.path(), config);
    again.resume_from = read_checkpoint(checkpoint_path(folder.path() / "checkpoints", 3));
    again.stop_at = 4;
    c.barrier();
    run(std::move(again), c);
    if (c.rank() == 0) {
      const auto lines = metrics(folder.path());
      ASSERT_EQ(lines.size(), 4U);
      EXPECT_EQ(lines.back()["step"], 4);
    }
  });
}

TEST_P(TrainerContract, AnErrorOfOneRankDoesNotLeaveTheOthersHanging) {
  if (GetParam().name == "world") {
    return;  // of processes: mpirun ends the others; tests/launch/bad_input.py starts real ones
  }
  bool failed = false;
  try {
    GetParam().run(std::chrono::seconds(60), [](Collective& c) {
      const test::TemporaryFolder folder;
      test::ToyTask task;
      task.before_loss = [&](const data::Batch& batch) {
        if (c.rank() + 1 == c.size() && batch.step == 2) {
          throw std::domain_error("a damaged shard");
        }
      };
      Trainer(toy_inputs(folder.path(), toy_config()), task, c).run();
    });
  } catch (const std::domain_error&) {
    failed = true;
  }
  EXPECT_TRUE(failed);
}

}  // namespace bitlaw::trainer
