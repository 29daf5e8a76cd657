#include "trainer/stop_vote.h"

#include <ATen/ATen.h>

namespace bitlaw::trainer {

bool StopVote::next(bool wish) {
  if (work_) {
    work_->wait();
    if (votes_.item<std::int64_t>() > 0) {
      return true;
    }
  }
  votes_ = at::full({1}, wish ? 1 : 0, at::kLong);
  work_ = collective_.all_reduce(votes_, ReduceOp::sum);
  return false;
}

}  // namespace bitlaw::trainer
