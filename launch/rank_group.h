// The ranks of a collective as those that share the layers of a model.
#pragma once

#include <memory>

#include "distill/shared_codes.h"
#include "trainer/agreement.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_vote.h"

namespace bitlaw::launch {

// `collective` must outlive the group. Its poll() throws trainer::StopRequested on all ranks, at the call
// after the one before which a rank was asked to stop.
inline distill::RankGroup rank_group(trainer::Collective& collective) {
  return {collective.rank(), collective.size(),
          [&collective](const at::Tensor& bytes, int owner) {
            return trainer::bytes_of_rank(bytes, owner, collective);
          },
          [vote = std::make_shared<trainer::StopVote>(collective)] {
            if (vote->next(trainer::stop_requested())) {
              throw trainer::StopRequested("asked to stop while layers were quantised");
            }
          }};
}

}  // namespace bitlaw::launch
