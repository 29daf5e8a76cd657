#include "trainer/log.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"
#include "trainer/figures.h"
#include "trainer/progress.h"

namespace bitlaw::trainer {

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string drawn(const std::function<void(std::FILE*)>& draw) {
  std::FILE* file = std::tmpfile();
  draw(file);
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

}  // namespace

TEST(Log, EveryRankHasItsFileAndRankZeroTheConsole) {
  const test::TemporaryFolder folder;
  testing::internal::CaptureStderr();
  Log zero(folder.path(), 0, Verbosity::normal);
  Log one(folder.path(), 1, Verbosity::normal);
  zero.info("step 1");
  zero.debug("a detail");
  one.warn("slow");
  const std::string console = testing::internal::GetCapturedStderr();
  EXPECT_THAT(console, testing::HasSubstr("info: step 1\n"));
  EXPECT_THAT(console, testing::Not(testing::HasSubstr("detail")));
  EXPECT_THAT(console, testing::Not(testing::HasSubstr("slow")));
  EXPECT_THAT(read(folder / "log.rank0000.txt"), testing::HasSubstr("debug: a detail\n"));
  EXPECT_THAT(read(folder / "log.rank0001.txt"), testing::HasSubstr("warning: slow\n"));
}

TEST(Log, AppendsWhenARunIsContinued) {
  const test::TemporaryFolder folder;
  Log(folder.path(), 3, Verbosity::quiet).info("first");
  Log(folder.path(), 3, Verbosity::quiet).info("second");
  EXPECT_THAT(read(folder / "log.rank0003.txt"),
              testing::AllOf(testing::HasSubstr("first"), testing::HasSubstr("second")));
}

TEST(Log, QuietMeansWarningsOnly) {
  testing::internal::CaptureStderr();
  Log log(0, Verbosity::quiet);
  log.info("noise");
  log.error("disk full");
  const std::string console = testing::internal::GetCapturedStderr();
  EXPECT_THAT(console, testing::HasSubstr("disk full"));
  EXPECT_THAT(console, testing::Not(testing::HasSubstr("noise")));
}

TEST(Log, AFileThatCannotBeOpenedIsTheUsersError) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  EXPECT_THROW(Log(folder / "file", 0, Verbosity::quiet), data::InputError);
}

TEST(Progress, IsDrawnOnRankZeroOfATerminalOnly) {
  EXPECT_EQ(progress_style({.rank = 0, .is_terminal = true}), ProgressStyle::colour_bar);
  EXPECT_EQ(progress_style({.rank = 0, .is_terminal = true, .quiet = false, .no_color = true}),
            ProgressStyle::plain_bar);
  EXPECT_EQ(progress_style({.rank = 1, .is_terminal = true}), ProgressStyle::none);
  EXPECT_EQ(progress_style({.rank = 0, .is_terminal = false}), ProgressStyle::none);
  EXPECT_EQ(progress_style({.rank = 0, .is_terminal = true, .quiet = true}), ProgressStyle::none);
}

TEST(Progress, ShowsTheShareThatIsDone) {
  EXPECT_EQ(progress_line(50, 100, "loss 1", ProgressStyle::plain_bar),
            "[===============               ] 50/100  loss 1");
  EXPECT_EQ(progress_line(3, 0, "", ProgressStyle::plain_bar), "[==============================] 3/0  ");
  EXPECT_THAT(progress_line(50, 100, "", ProgressStyle::colour_bar), testing::HasSubstr("\x1b[32m"));
}

TEST(Progress, LeavesACleanLine) {
  const std::string text = drawn([](std::FILE* out) {
    Progress progress(out, ProgressStyle::plain_bar, 2);
    progress.show(1, "half");
    progress.show(2, "all");
  });
  EXPECT_THAT(text, testing::HasSubstr("1/2  half"));
  EXPECT_THAT(text, testing::HasSubstr("2/2  all"));
  EXPECT_TRUE(text.ends_with("\r\x1b[K"));
  EXPECT_EQ(drawn([](std::FILE* out) { Progress(out, ProgressStyle::none, 2).show(1, "x"); }), "");
}

TEST(Figures, AreShort) {
  EXPECT_EQ(short_number(3.14159265), "3.142");
  EXPECT_EQ(figures_text({{"loss", 2.5}, {"lr", 0.0005}}), "loss 2.5  lr 0.0005");
}

}  // namespace bitlaw::trainer
