// SIGTERM, SIGUSR1 and SIGUSR2 mean "save and leave"; a second one leaves at once with code 75.
#pragma once

namespace bitlaw::trainer {

void install_stop_signals();  // once, in main
bool stop_requested();        // async-signal-safe flag of this rank; polled in every phase

}  // namespace bitlaw::trainer
