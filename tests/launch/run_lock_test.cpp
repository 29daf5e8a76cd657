// One start at a time, and the next one as soon as the holder is gone, however it went.
#include "launch/run_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::launch {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

constexpr LockPatience kNone{0ms, 0ms};

class RunLockTest : public testing::Test {
 protected:
  void take(RunLock& lock, const LockPatience& patience = kNone) {
    lock.take(
        folder_.path(), [this](const std::string& line) { said_.push_back(line); }, patience);
  }
  // A process that takes the lock and waits for a signal.
  pid_t start_holder() {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe(ready.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      RunLock lock;
      take(lock);
      const char held = lock.is_held() ? 1 : 0;
      [[maybe_unused]] const auto written = ::write(ready[1], &held, 1);
      ::pause();
      ::_exit(0);
    }
    char held = 0;
    EXPECT_EQ(::read(ready[0], &held, 1), 1);
    EXPECT_EQ(held, 1);
    ::close(ready[0]);
    ::close(ready[1]);
    return child;
  }
  static void kill_holder(pid_t child) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }

  test::TemporaryFolder folder_;
  std::vector<std::string> said_;
};

TEST_F(RunLockTest, ASecondStartIsToldWhoHoldsIt) {
  const pid_t child = start_holder();
  RunLock second;
  EXPECT_THAT(test::message_of([&] { take(second); }),
              AllOf(HasSubstr("run.name: " + folder_.path().string()),
                    HasSubstr("process " + std::to_string(child) + " on "), HasSubstr("another run.name")));
  EXPECT_FALSE(second.is_held());
  kill_holder(child);
  take(second);
  EXPECT_TRUE(second.is_held());
  take(second);  // ours already
}

TEST_F(RunLockTest, WaitsForAStartThatIsEnding) {
  std::optional<RunLock> first(std::in_place);
  take(*first);
  RunLock second;
  std::thread ending([&] {
    std::this_thread::sleep_for(100ms);
    first.reset();
  });
  take(second, {10s, 10s});
  ending.join();
  EXPECT_TRUE(second.is_held());
  EXPECT_THAT(said_, testing::ElementsAre(HasSubstr("waiting for it to end")));
}

TEST_F(RunLockTest, AnotherMachineIsGivenMoreTime) {
  RunLock first;
  take(first);
  std::ofstream(folder_ / "lock") << "another-machine 12\n";
  RunLock second;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(test::message_of([&] {
                take(second, {0ms, 150ms});
              }),
              HasSubstr("process 12 on another-machine"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 150ms);
}

TEST(LockPatience, EndsBeforeThoseWhoWaitForTheAnswerGiveUp) {
  const LockPatience usual;
  EXPECT_EQ(usual.within(300s).elsewhere, usual.elsewhere);
  EXPECT_EQ(usual.within(8s).elsewhere, 4s);
  EXPECT_EQ(usual.within(8s).here, 4s);
  EXPECT_EQ(usual.within(1s).here, 500ms);
}

TEST_F(RunLockTest, AFolderThatIsNotThereIsNoErrorHere) {
  RunLock lock;
  lock.take(
      folder_ / "nowhere", [](const std::string&) {}, kNone);
  EXPECT_FALSE(lock.is_held());
}

}  // namespace
}  // namespace bitlaw::launch
