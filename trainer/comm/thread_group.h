// Ranks as threads of one process: tests, and the serial case as a group of one.
#pragma once

#include <functional>
#include <memory>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

std::unique_ptr<Collective> make_serial_collective();
// Runs body(collective) on `size` threads and returns when all have ended; rethrows the first exception after
// telling the others (their calls throw CommError).
void run_thread_group(int size, const std::function<void(Collective&)>& body,
                      std::chrono::milliseconds deadline = std::chrono::minutes(5));

}  // namespace bitlaw::trainer
