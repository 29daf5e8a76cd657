// Run folders: one folder belongs to one run.
#include "launch/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/formats/input_error.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "trainer/agreement.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;

class RunFolder : public testing::Test {
 protected:
  RunFolder() {
    config_.run.dir = (folder_ / "runs").string();
    config_.run.name = std::string("r");
  }

  test::TemporaryFolder folder_;
  trainer::RunConfig config_;
  RunLock lock_;
};

TEST_F(RunFolder, EveryStartGetsTheNextIncarnation) {
  EXPECT_EQ(claim_run_folder(config_, "optim:\n  lr: 1\n", 1, lock_), 1);
  EXPECT_EQ(claim_run_folder(config_, "optim:\n  lr: 1\n", 2, lock_), 2);
  for (const char* name : {"config.yaml", "env.json", "cmd.txt", "identity.yaml"}) {
    EXPECT_TRUE(fs::exists(run_path(config_) / name)) << name;
  }
}

TEST_F(RunFolder, AnotherConfigurationIsRefusedByKey) {
  claim_run_folder(config_, "optim:\n  lr: 0.001\n  betas: [0.9, 0.95]\nsources:\n  train: aa\n", 1, lock_);
  try {
    claim_run_folder(config_, "optim:\n  lr: 0.002\n  betas: [0.9, 0.95]\nsources:\n  train: aa\n", 1, lock_);
    FAIL() << "was accepted";
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("optim.lr was 0.001 and is now 0.002"));
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("betas")));
  }
}

TEST_F(RunFolder, TheFinishedMarkSurvivesARoundTrip) {
  claim_run_folder(config_, "a: 1\n", 1, lock_);
  EXPECT_FALSE(read_finished(run_path(config_)).has_value());
  write_finished(run_path(config_), {120, "abc"});
  const auto mark = read_finished(run_path(config_));
  ASSERT_TRUE(mark.has_value());
  EXPECT_EQ(mark->step, 120);
  EXPECT_EQ(mark->parameter_hash, "abc");
}

TEST_F(RunFolder, AStrangeMarkIsNone) {
  claim_run_folder(config_, "a: 1\n", 1, lock_);
  for (const char* text : {"", "{", "[]", "3", "{}", R"({"step": "x"})", R"({"step": 1.5})",
                           R"({"step": null})", R"({"step": 1, "parameter_hash": 7})"}) {
    std::ofstream(run_path(config_) / "finished") << text;
    EXPECT_FALSE(read_finished(run_path(config_)).has_value()) << text;
  }
  std::ofstream(run_path(config_) / "finished") << R"({"step": 1})";
  EXPECT_EQ(read_finished(run_path(config_))->parameter_hash, "");
}

TEST_F(RunFolder, AFolderThatCannotBeMadeIsTheSitesMistake) {
  std::ofstream(config_.run.dir) << "a file where the folder should be";
  EXPECT_THROW(claim_run_folder(config_, "a: 1\n", 1, lock_), data::InputError);
}

// Only rank 0 touches the folder; nobody waits for it in vain, or is told to run again.
TEST_F(RunFolder, WhatRank0CannotWriteIsSaidOnEveryRank) {
  std::ofstream(config_.run.dir) << "a file where the folder should be";
  std::vector<std::string> messages(3);
  trainer::run_thread_group(3, [&](trainer::Collective& collective) {
    RunLock lock;
    messages[static_cast<std::size_t>(collective.rank())] =
        test::message_of([&] { claim_for_ranks(config_, "a: 1\n", collective, lock); });
  });
  EXPECT_THAT(messages, testing::Each(testing::HasSubstr("run.dir: ")));
  trainer::run_thread_group(3, [&](trainer::Collective& collective) {
    int runs = 0;
    trainer::on_rank_0([&] { ++runs; }, collective);
    EXPECT_EQ(runs, collective.rank() == 0 ? 1 : 0);
  });
}

// What one rank cannot write ends all of them, with the rank's name.
TEST_F(RunFolder, WhatOneRankCannotDoIsSaidOnEveryRank) {
  std::vector<std::string> messages(3);
  trainer::run_thread_group(3, [&](trainer::Collective& collective) {
    const auto fails_on_1 = [&] {
      if (collective.rank() == 1) {
        throw data::InputError("the disk", "it is full", "make room");
      }
    };
    messages[static_cast<std::size_t>(collective.rank())] =
        test::message_of([&] { trainer::on_every_rank(fails_on_1, collective); });
    EXPECT_EQ(test::message_of([&] { trainer::on_every_rank([] {}, collective); }), "");
  });
  EXPECT_THAT(messages, testing::Each("rank 1: the disk [it is full]; make room"));
}

}  // namespace
}  // namespace bitlaw::launch
