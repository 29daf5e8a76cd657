// Whether a tokenizer geometry can be built. Torch-free.
#pragma once

#include "distill/config.h"

namespace bitlaw::distill {

// InputError that names every problem: scales that do not rise, widths that the groups do not divide, ...
void check_geometry(const VqConfig& config);

}  // namespace bitlaw::distill
