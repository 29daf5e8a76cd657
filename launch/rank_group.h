// The ranks of a collective as those that share the layers of a model.
#pragma once

#include "distill/shared_codes.h"
#include "trainer/agreement.h"

namespace bitlaw::launch {

// `collective` must outlive the group.
inline distill::RankGroup rank_group(trainer::Collective& collective) {
  return {collective.rank(), collective.size(), [&collective](const at::Tensor& bytes, int owner) {
            return trainer::bytes_of_rank(bytes, owner, collective);
          }};
}

}  // namespace bitlaw::launch
