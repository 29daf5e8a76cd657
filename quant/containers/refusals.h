// The layers that a container cannot hold, with the reasons: gathered, then one error. Torch-free.
#pragma once

#include <string>
#include <vector>

namespace bitlaw::quant {

struct Refusal {
  std::string module;
  std::string spec;
  std::string reason;
};
using Refusals = std::vector<Refusal>;

}  // namespace bitlaw::quant
