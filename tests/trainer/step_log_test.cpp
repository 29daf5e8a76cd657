#include "trainer/step_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_limit.h"

namespace bitlaw::trainer {

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

TEST(StepLog, WritesOneObjectALineInOrder) {
  const test::TemporaryFolder folder;
  StepLog log(folder / "metrics.jsonl", 0);
  log.append({{1, 32, 10.5, {{"lr", 0.25}, {"loss", 3.0}}}, {2, 64, 11.0, {{"lr", 0.5}, {"loss", 2.0}}}});
  EXPECT_EQ(read(folder / "metrics.jsonl"),
            "{\"step\":1,\"samples_seen\":32,\"wall_time\":10.5,\"lr\":0.25,\"loss\":3.0}\n"
            "{\"step\":2,\"samples_seen\":64,\"wall_time\":11.0,\"lr\":0.5,\"loss\":2.0}\n");
}

TEST(StepLog, CutsWhatWillBeMadeAgainAndWhatACrashLeft) {
  const test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  const std::string kept = "{\"step\":1,\"loss\":3.0}\n{\"step\":2,\"loss\":2.0}\n";
  std::ofstream(path) << kept << "{\"step\":3,\"loss\":1.0}\n{\"step\":4,\"lo";
  {
    StepLog log(path, 2);
    EXPECT_EQ(read(path), kept);
    log.append({{3, 96, 1.0, {}}});
  }
  EXPECT_EQ(read(path), kept + "{\"step\":3,\"samples_seen\":96,\"wall_time\":1.0}\n");
  std::ofstream(path, std::ios::app) << "{\"step\":2";
  const StepLog log(path, 3);
  EXPECT_EQ(read(path), kept + "{\"step\":3,\"samples_seen\":96,\"wall_time\":1.0}\n");
}

TEST(StepLog, LinesThatDoNotFitAreWrittenLater) {
  const test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  StepLog log(path, 0);
  EXPECT_EQ(log.append({{1, 32, 1.0, {}}}), "");
  const std::string first = read(path);
  {
    const test::WriteLimit full(first.size() + 10);
    EXPECT_NE(log.append({{2, 64, 2.0, {}}}), "");
    EXPECT_EQ(read(path), first);
  }
  EXPECT_EQ(log.append({{3, 96, 3.0, {}}}), "");
  EXPECT_EQ(read(path), first +
                            "{\"step\":2,\"samples_seen\":64,\"wall_time\":2.0}\n"
                            "{\"step\":3,\"samples_seen\":96,\"wall_time\":3.0}\n");
}

TEST(StepLog, AFolderThatIsNotThereIsTheUsersError) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(StepLog(folder.path() / "missing" / "metrics.jsonl", 0), data::InputError);
}

}  // namespace bitlaw::trainer
