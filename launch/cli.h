// The command line: one program, sub-commands.
#pragma once

#include "launch/commands/command.h"

namespace bitlaw::launch {

// Parses, runs the chosen command, prints its error if there is one, and returns the exit code of
// conventions: 0 done, 1 a bug, 2 the user's or the site's, 3 do not run again unchanged, 75 run me again.
int run_program(int argc, char** argv);

}  // namespace bitlaw::launch
