// Agreement of all ranks to leave a long phase early.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// Every rank calls next() at the same points of a phase. A wish that is cast at one point is known to all at
// the next one: the vote travels while the ranks work, and nobody waits for it.
class StopVote {
 public:
  explicit StopVote(Collective& collective) : collective_(collective) {}
  bool next(bool wish);  // whether any rank wished so at the previous call

 private:
  Collective& collective_;
  std::optional<Work> work_;
  at::Tensor votes_;
};

}  // namespace bitlaw::trainer
