// Exceptions -> messages and exit codes, for one process and for ranks.
#pragma once

#include <functional>

#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

inline constexpr int kDone = 0;
inline constexpr int kBug = 1;
inline constexpr int kUserMistake = 2;
inline constexpr int kDoNotRepeat = 3;
inline constexpr int kRunAgain = 75;

// Runs `action`; prints "error: ..." on stderr when it throws, and returns the code that the exception means.
int exit_code_of(const std::function<int()>& action);

// Runs body(collective) over the ranks of this start. With several ranks an exception must not wait for the
// others (they may be in a collective call): the rank prints its error and leaves by _Exit, without
// MPI_Finalize, and the launcher ends the rest. Rank 0 speaks first, so that an error that all ranks share is
// printed once.
int run_on_ranks(const trainer::ParallelConfig& parallel,
                 const std::function<int(trainer::Collective&)>& body);

}  // namespace bitlaw::launch
