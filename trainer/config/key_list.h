// The dotted names of all keys, in the order of the reference. Torch-free.
#pragma once

#include <string>
#include <vector>

namespace bitlaw::trainer {

// "optim.lr", ...; an element of a list of groups is written with a star: "quant.overrides.*.match".
const std::vector<std::string>& all_keys();

}  // namespace bitlaw::trainer
