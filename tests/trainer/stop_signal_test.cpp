#include "trainer/stop_signal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

namespace bitlaw::trainer {

TEST(StopSignal, IsAFlagUntilTheSignalsAreInstalledAgain) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGUSR2}) {
    install_stop_signals();
    EXPECT_FALSE(stop_requested());
    std::raise(signal);
    EXPECT_TRUE(stop_requested());
  }
  install_stop_signals();
  EXPECT_FALSE(stop_requested());
}

TEST(StopSignal, AnInterruptIsOneForThoseWhoAskForIt) {
  const pid_t child = fork();
  if (child == 0) {
    install_stop_signals();
    stop_at_interrupt();
    std::raise(SIGINT);
    _exit(stop_requested() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(StopSignal, ARepetitionOfOneWishIsOneWish) {
  install_stop_signals();
  std::raise(SIGUSR1);
  std::raise(SIGTERM);  // would have left the process
  EXPECT_TRUE(stop_requested());
  install_stop_signals();
}

TEST(StopSignal, ASecondSignalLeavesAtOnceWithCode75) {
  const pid_t child = fork();
  if (child == 0) {
    install_stop_signals();
    std::raise(SIGTERM);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    std::raise(SIGTERM);
    _exit(0);  // not reached
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 75);
}

}  // namespace bitlaw::trainer
