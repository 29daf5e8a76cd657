// SIGTERM, SIGUSR1 and SIGUSR2 mean "save and leave"; a second one leaves at once with code 75. One
// that follows within a second of the first is the same wish: mpirun and a batch system may both pass it on.
#pragma once

#include <stdexcept>

namespace bitlaw::trainer {

// All ranks agreed to leave a phase that has nothing to save (evaluation, tokenising, sampling). Code 75.
class StopRequested : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void install_stop_signals();  // once, in main; forgets an earlier request
void stop_at_interrupt();     // SIGINT as well, in commands that have something to remove
bool stop_requested();        // async-signal-safe flag of this rank; polled in every phase

}  // namespace bitlaw::trainer
