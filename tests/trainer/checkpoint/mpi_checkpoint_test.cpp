// Checkpoints of real processes: written at one number of ranks, read at another; one rank's disk full.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_limit.h"
#include "tests/trainer/checkpoint/states.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/mpi_collective.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// One folder for all ranks, made and removed by rank 0.
class SharedFolder {
 public:
  explicit SharedFolder(Collective& collective) : collective_(collective) {
    at::Tensor name = at::zeros({512}, at::kByte);
    if (collective.rank() == 0) {
      owned_.emplace();
      const std::string text = owned_->path().string();
      std::memcpy(name.data_ptr(), text.data(), text.size());
    }
    collective.broadcast(name, 0).wait();
    path_ = static_cast<const char*>(name.const_data_ptr());
  }
  ~SharedFolder() { collective_.barrier(); }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  Collective& collective_;
  std::optional<bitlaw::test::TemporaryFolder> owned_;
  fs::path path_;
};

TEST(MpiCheckpoint, WhatAllRanksWroteEveryRankReads) {
  const auto collective = make_mpi_collective();
  const SharedFolder folder(*collective);
  CheckpointWriter::Options options;
  options.folder = folder / "c";
  options.keep_last = 2;
  {
    CheckpointWriter writer(options, *collective);
    for (const std::int64_t step : {1, 2, 3}) {
      writer.save(make_state(step));
      writer.poll();
    }
    writer.finish();
  }
  collective->barrier();
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(2, 3));
  EXPECT_TRUE(fs::exists(folder / "c/step-00000003" /
                         ("rank-00000-of-0000" + std::to_string(collective->size()) + ".h5")));
  EXPECT_TRUE(same_state(read_checkpoint(folder / "c/latest"), make_state(3)));
}

TEST(MpiCheckpoint, AnyOtherNumberOfRanksIsRead) {
  const auto collective = make_mpi_collective();
  const SharedFolder folder(*collective);
  for (const int writers : {1, 2, 4}) {
    const fs::path place = folder / std::to_string(writers);
    if (collective->rank() == 0) {
      CheckpointWriter::Options options;
      options.folder = place;
      run_thread_group(writers, [&](Collective& threads) {
        CheckpointWriter writer(options, threads);
        writer.save(make_state(writers));
        writer.finish();
      });
    }
    collective->barrier();
    EXPECT_TRUE(same_state(read_checkpoint(place / "latest"), make_state(writers)));
  }
}

TEST(MpiCheckpoint, AFullDiskOfOneRankStopsAllWithItsName) {
  const auto collective = make_mpi_collective();
  const SharedFolder folder(*collective);
  const int full = collective->size() - 1;
  CheckpointWriter::Options options;
  options.folder = folder / "c";
  std::vector<std::string> reports;
  options.report = [&](const std::string& message) { reports.push_back(message); };
  CheckpointWriter writer(options, *collective);
  writer.save(make_state(1));
  writer.finish();
  std::string message;
  try {
    std::optional<bitlaw::test::WriteLimit> limit;
    if (collective->rank() == full) {
      limit.emplace(512);
    }
    writer.save(make_state(2));
    writer.finish();
  } catch (const data::InputError& error) {
    message = error.what();
  }
  const std::string name = collective->size() == 1 ? "disk full" : "rank " + std::to_string(full) + ": ";
  EXPECT_THAT(message, AllOf(HasSubstr(name), HasSubstr("disk full"), HasSubstr("3 saves in a row")));
  EXPECT_EQ(reports.size(), collective->rank() == 0 ? 3u : 0u);
  collective->barrier();
  EXPECT_THAT(committed_steps(folder / "c"), ElementsAre(1));
  EXPECT_TRUE(same_state(read_checkpoint(folder / "c/latest"), make_state(1)));
}

}  // namespace
}  // namespace bitlaw::trainer::test
