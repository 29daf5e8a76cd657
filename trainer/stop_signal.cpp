#include "trainer/stop_signal.h"

#include <csignal>
#include <ctime>

#include <unistd.h>

#include <algorithm>
#include <array>

namespace bitlaw::trainer {

namespace {

constexpr int kRunMeAgain = 75;
// mpirun and a batch system may both pass one signal on: what comes within this time is the same wish.
constexpr double kSameWishSeconds = 1.0;
constexpr std::array<int, 3> kSignals = {SIGTERM, SIGUSR1, SIGUSR2};

// The only mutable globals of the program: a signal handler has no other way to tell.
volatile std::sig_atomic_t requested = 0;
timespec first_request = {};

void handle(int /*signal*/) {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (requested == 0) {
    first_request = now;
    requested = 1;
    return;
  }
  const double seconds = static_cast<double>(now.tv_sec - first_request.tv_sec) +
                         1e-9 * static_cast<double>(now.tv_nsec - first_request.tv_nsec);
  if (seconds > kSameWishSeconds) {
    _exit(kRunMeAgain);
  }
}

void handle_signal(int signal) {
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int other : kSignals) {
    sigaddset(&action.sa_mask, other);
  }
  sigaddset(&action.sa_mask, SIGINT);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_stop_signals() {
  requested = 0;
  std::for_each(kSignals.begin(), kSignals.end(), handle_signal);
}

void stop_at_interrupt() {
  handle_signal(SIGINT);
}

bool stop_requested() {
  return requested != 0;
}

}  // namespace bitlaw::trainer
