// What is written at any world size is read at any other, to the bit; layout and retention.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/trainer/checkpoint/states.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint/layout.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer::test {
namespace {

namespace fs = std::filesystem;
using bitlaw::test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

void save_steps(const fs::path& folder, const std::vector<std::int64_t>& steps, int ranks,
                CheckpointWriter::Options options = {}) {
  options.folder = folder;
  run_thread_group(ranks, [&](Collective& collective) {
    CheckpointWriter writer(options, collective);
    for (const std::int64_t step : steps) {
      writer.save(make_state(step));
    }
    writer.finish();
  });
}

TEST(Share, CoversEveryElementOnce) {
  for (const std::int64_t elements : {0, 1, 3, 4, 7, 1001}) {
    for (const int size : {1, 2, 3, 4, 7}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Share share = share_of(elements, rank, size);
        EXPECT_EQ(share.first, next);
        EXPECT_LE(share.count, elements / size + 1);
        next += share.count;
      }
      EXPECT_EQ(next, elements);
    }
  }
  EXPECT_EQ(share_of(std::int64_t{1} << 62, 3, 4).first, (std::int64_t{1} << 60) * 3);
}

class Ranks : public testing::TestWithParam<int> {};

TEST_P(Ranks, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  save_steps(folder / "checkpoints", {7}, GetParam());
  for (const int readers : {1, 2, 4}) {
    run_thread_group(readers, [&](Collective&) {
      const CheckpointState state = read_checkpoint(folder / "checkpoints/step-00000007");
      EXPECT_TRUE(same_state(state, make_state(7)));
    });
  }
  EXPECT_EQ(read_checkpoint_texts(folder / "checkpoints/latest"), make_state(7).texts);
}

TEST_P(Ranks, LayoutIsTheDocumentedOne) {
  const TemporaryFolder folder;
  save_steps(folder / "checkpoints", {7, 12}, GetParam());
  std::vector<std::string> wanted = {"COMMITTED", "manifest.json"};
  for (int rank = 0; rank < GetParam(); ++rank) {
    wanted.push_back(part_file_name(rank, GetParam()));
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints/step-00000012")) {
    found.push_back(entry.path().filename());
  }
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(wanted));
  EXPECT_EQ(fs::read_symlink(folder / "checkpoints/latest"), "step-00000012");
  found.clear();
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) {
    found.push_back(entry.path().filename());
  }
  EXPECT_THAT(found, testing::UnorderedElementsAre("latest", "step-00000007", "step-00000012"));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Ranks, testing::Values(1, 2, 4));

TEST(Checkpoint, HoldsTheStateAtTheTimeOfSave) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.folder = folder / "checkpoints";
  run_thread_group(2, [&](Collective& collective) {
    CheckpointWriter writer(options, collective);
    CheckpointState state = make_state(1);
    writer.reserve(state);
    writer.save(state);
    for (auto& [name, tensor] : state.tensors) {
      tensor.fill_(99);  // training goes on at once
    }
    writer.finish();
  });
  EXPECT_TRUE(same_state(read_checkpoint(options.folder / "step-00000001"), make_state(1)));
}

TEST(Checkpoint, PollCommitsWithoutFinish) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.folder = folder / "checkpoints";
  run_thread_group(2, [&](Collective& collective) {
    CheckpointWriter writer(options, collective);
    writer.save(make_state(3));
    EXPECT_GE(writer.last_pause_seconds(), 0.0);
    bool committed = false;
    while (!committed) {
      writer.poll();
      at::Tensor seen = at::full({1}, fs::exists(options.folder / "latest") ? 1 : 0, at::kLong);
      collective.all_reduce(seen, ReduceOp::minimum).wait();
      committed = seen.item<std::int64_t>() == 1;
    }
  });
  EXPECT_THAT(committed_steps(options.folder), ElementsAre(3));
}

TEST(Checkpoint, SynchronousSavesAreCommittedOnReturn) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.folder = folder / "checkpoints";
  options.asynchronous = false;
  run_thread_group(2, [&](Collective& collective) {
    CheckpointWriter writer(options, collective);
    writer.save(make_state(3));
    EXPECT_THAT(committed_steps(options.folder), ElementsAre(3));
  });
}

TEST(Checkpoint, OldOnesAreDeletedMilestonesStay) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.keep_last = 2;
  options.keep_every = 30;
  save_steps(folder / "c", {10, 20, 30, 40, 50, 60, 70}, 2, options);
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(30, 60, 70));
  for (const std::int64_t step : committed_steps(folder / "c")) {
    EXPECT_TRUE(same_state(read_checkpoint(checkpoint_path(folder / "c", step)), make_state(step)));
  }
}

TEST(Checkpoint, KeepLastOneKeepsTheNewest) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.keep_last = 1;
  save_steps(folder / "c", {1, 2, 3}, 1, options);
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(3));
}

// A run that goes on from an older checkpoint leaves those of later steps alone until it comes there.
TEST(Checkpoint, LaterStepsAreNotDeleted) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.keep_last = 1;
  save_steps(folder / "c", {50}, 1, options);
  save_steps(folder / "c", {20, 30}, 1, options);
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(30, 50));
  EXPECT_EQ(fs::read_symlink(folder / "c/latest"), "step-00000030");
}

TEST(Checkpoint, AStepThatIsThereIsReplaced) {
  const TemporaryFolder folder;
  save_steps(folder / "c", {5}, 4);
  CheckpointWriter::Options options;
  options.folder = folder / "c";
  CheckpointState other = make_state(5);
  other.tensors["model/three"] += 1;
  const auto collective = make_serial_collective();
  CheckpointWriter writer(options, *collective);
  writer.save(other);
  writer.finish();
  EXPECT_TRUE(same_state(read_checkpoint(folder / "c/step-00000005"), other));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "c"), fs::directory_iterator()), 2);
}

TEST(Checkpoint, IsNotCommittedBeforeItIsConfirmed) {
  const TemporaryFolder folder;
  CheckpointWriter::Options options;
  options.folder = folder / "c";
  const auto collective = make_serial_collective();
  CheckpointWriter writer(options, *collective);
  CheckpointState state = make_state(5);
  state.texts.clear();
  writer.begin(state);
  EXPECT_THROW(writer.finish(), std::logic_error);
  for (int i = 0; i < 20; ++i) {
    writer.poll();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre());
  writer.confirm(make_state(5).texts);
  writer.finish();
  EXPECT_TRUE(same_state(read_checkpoint(folder / "c/step-00000005"), make_state(5)));
}

TEST(Checkpoint, PrefixesChooseWhatIsRead) {
  const TemporaryFolder folder;
  save_steps(folder / "c", {5}, 3);
  CheckpointState wanted = make_state(5);
  std::erase_if(wanted.tensors, [](const auto& entry) { return entry.first.rfind("model/", 0) != 0; });
  ASSERT_LT(wanted.tensors.size(), make_state(5).tensors.size());
  EXPECT_TRUE(same_state(read_checkpoint(folder / "c/step-00000005", {"model/"}), wanted));
}

TEST(Checkpoint, AFolderThatCannotBeMadeIsReported) {
  const TemporaryFolder folder;
  write_file(folder / "file", "in the way");
  EXPECT_THROW(save_steps(folder / "file/c", {1}, 2), data::InputError);
}

}  // namespace
}  // namespace bitlaw::trainer::test
