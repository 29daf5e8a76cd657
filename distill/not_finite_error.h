// Numbers of a network that are NaN or infinite where everything behind them would be worthless. Torch-free.
#pragma once

#include <stdexcept>

namespace bitlaw::distill {

// Names what is not finite, and where. Nothing was made of it. The program ends with code 3: the same command
// would end the same way.
class NotFiniteError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace bitlaw::distill
