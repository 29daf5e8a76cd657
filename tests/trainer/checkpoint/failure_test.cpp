// Full disks, processes killed while they save, and ranks left over from an earlier start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_limit.h"
#include "tests/trainer/checkpoint/states.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint/commit.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer::test {
namespace {

namespace fs = std::filesystem;
using bitlaw::test::TemporaryFolder;
using bitlaw::test::WriteLimit;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "";
}

class Failing : public testing::TestWithParam<int> {
 protected:
  CheckpointWriter::Options options() {
    CheckpointWriter::Options options;
    options.folder = folder_ / "c";
    options.asynchronous = false;
    options.report = [this](const std::string& message) { reports_.push_back(message); };
    return options;
  }
  TemporaryFolder folder_;
  std::vector<std::string> reports_;
};

TEST_P(Failing, AFullDiskKeepsThePreviousCheckpoint) {
  run_thread_group(GetParam(), [&](Collective& collective) {
    CheckpointWriter writer(options(), collective);
    writer.save(make_state(10));
    collective.barrier();
    {
      const WriteLimit limit(512);
      collective.barrier();
      writer.save(make_state(20));
      writer.save(make_state(30));
      collective.barrier();
    }
    collective.barrier();
    writer.save(make_state(40));  // space again: the count of failures starts anew
    EXPECT_THAT(committed_steps(folder_ / "c"), ElementsAre(10, 40));
  });
  EXPECT_THAT(reports_,
              ElementsAre(AllOf(HasSubstr("checkpoint of step 20 could not be saved, the previous one is "
                                          "kept: "),
                                HasSubstr("disk full")),
                          HasSubstr("checkpoint of step 30")));
  EXPECT_TRUE(same_state(read_checkpoint(folder_ / "c/step-00000010"), make_state(10)));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "c"), fs::directory_iterator()), 3);
}

TEST_P(Failing, ThreeFailuresInARowEndTheRun) {
  run_thread_group(GetParam(), [&](Collective& collective) {
    CheckpointWriter writer(options(), collective);
    writer.save(make_state(10));
    collective.barrier();
    const WriteLimit limit(512);
    collective.barrier();
    writer.save(make_state(20));
    writer.save(make_state(30));
    EXPECT_THAT(error_of([&] { writer.save(make_state(40)); }),
                AllOf(HasSubstr("disk full"), HasSubstr("3 saves in a row")));
    collective.barrier();
  });
  EXPECT_THAT(committed_steps(folder_ / "c"), ElementsAre(10));
}

TEST_P(Failing, FinishTriesThreeTimes) {
  run_thread_group(GetParam(), [&](Collective& collective) {
    CheckpointWriter::Options background = options();
    background.asynchronous = true;
    CheckpointWriter writer(background, collective);
    collective.barrier();
    const WriteLimit limit(512);
    collective.barrier();
    writer.save(make_state(20));
    EXPECT_THAT(error_of([&] { writer.finish(); }), HasSubstr("3 saves in a row"));
    collective.barrier();
  });
  EXPECT_EQ(reports_.size(), 3u);
  EXPECT_THAT(committed_steps(folder_ / "c"), ElementsAre());
}

INSTANTIATE_TEST_SUITE_P(Sizes, Failing, testing::Values(1, 2));

TEST(Incarnation, RanksOfAnEarlierStartCannotCommit) {
  const TemporaryFolder folder;
  const auto collective = make_serial_collective();
  CheckpointWriter::Options first;
  first.folder = folder / "c";
  first.incarnation = 1;
  CheckpointWriter old_start(first, *collective);
  old_start.save(make_state(10));
  old_start.finish();
  CheckpointWriter::Options second = first;
  second.incarnation = 2;
  CheckpointWriter new_start(second, *collective);
  old_start.save(make_state(20));
  EXPECT_THAT(error_of([&] { old_start.finish(); }), HasSubstr("start 2 of this run has taken over"));
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(10));
  new_start.save(make_state(20));
  new_start.finish();
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(10, 20));
  EXPECT_THAT(error_of([&] { const CheckpointWriter late(first, *collective); }),
              HasSubstr("has taken over"));
  EXPECT_EQ(read_file(folder / "incarnation"), "2\n");
}

TEST(Incarnation, StartsAtOneMomentGetDifferentNumbers) {
  const TemporaryFolder folder;
  constexpr int kStarts = 8;
  std::vector<std::int64_t> numbers(kStarts);
  std::vector<std::thread> starts;
  for (int i = 0; i < kStarts; ++i) {
    starts.emplace_back([&, i] { numbers[static_cast<std::size_t>(i)] = take_incarnation(folder.path()); });
  }
  for (std::thread& start : starts) {
    start.join();
  }
  std::sort(numbers.begin(), numbers.end());
  EXPECT_THAT(numbers, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_EQ(read_file(folder / "incarnation"), "8\n");
}

TEST(Incarnation, UnfinishedFoldersOfEarlierStartsAreRemoved) {
  const TemporaryFolder folder;
  for (const char* name :
       {"step-00000010.tmp-1", "step-00000010.tmp-2", "step-00000010.tmp-9", "step-00000011"}) {
    fs::create_directories(folder / "c" / name);
  }
  const auto collective = make_serial_collective();
  CheckpointWriter::Options options;
  options.folder = folder / "c";
  options.incarnation = 2;
  const CheckpointWriter writer(options, *collective);
  std::vector<std::string> left;
  committed_steps(options.folder, &left);
  EXPECT_THAT(
      left, ElementsAre((folder / "c/step-00000010.tmp-9").string(), (folder / "c/step-00000011").string()));
}

CheckpointState large_state(std::int64_t step) {
  CheckpointState state;
  state.step = step;
  for (int i = 0; i < 8; ++i) {
    state.tensors["model/" + std::to_string(i)] = at::full({256 * 1024}, double(step) + i, at::kFloat);
  }
  return state;
}

// Saves one step after another until it is killed.
[[noreturn]] void save_forever(const fs::path& folder, std::int64_t incarnation) {
  const auto collective = make_serial_collective();
  CheckpointWriter::Options options;
  options.folder = folder;
  options.incarnation = incarnation;
  CheckpointWriter writer(options, *collective);
  const std::vector<std::int64_t> there = committed_steps(folder);
  for (std::int64_t step = there.empty() ? 1 : there.back() + 1;; ++step) {
    writer.save(large_state(step));
    writer.poll();
  }
}

// Seconds that one save takes on this disk.
double save_seconds(const fs::path& folder) {
  const auto collective = make_serial_collective();
  CheckpointWriter::Options options;
  options.folder = folder;
  CheckpointWriter writer(options, *collective);
  const auto start = std::chrono::steady_clock::now();
  writer.save(large_state(1));
  writer.finish();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Killed after 0.65, 1, 1.35, ... saves, so at another moment of a save each time.
TEST(Killed, AtAnyMomentTheNewestCheckpointIsWhole) {
  const TemporaryFolder folder;
  const double save = save_seconds(folder / "first");
  std::int64_t newest_step = 0;
  for (int round = 1; round <= 12; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      save_forever(folder / "c", round);
    }
    usleep(static_cast<useconds_t>(1e6 * save * (0.3 + 0.35 * round)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const NewestCheckpoint newest = newest_whole_checkpoint(folder / "c");
    for (const std::string& line : newest.skipped) {
      EXPECT_THAT(line, HasSubstr("it was never finished"));
    }
    if (newest.path) {
      const CheckpointState state = read_checkpoint(*newest.path);
      EXPECT_TRUE(same_state(state, large_state(state.step)));
      EXPECT_GE(state.step, newest_step);
      newest_step = state.step;
    }
  }
  EXPECT_GT(newest_step, 3);
}

}  // namespace
}  // namespace bitlaw::trainer::test
