// quant::Statistics over ranks.
#pragma once

#include <cstdint>
#include <map>

#include "quant/statistics.h"
#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// The merge of all ranks' values in the order of ranks, on every rank. All must hold the same names and
// shapes (std::invalid_argument; a rank that holds nothing where others hold something: CommError).
quant::Statistics reduce_statistics(const quant::Statistics& mine, Collective& collective);

// Pieces numbered 0..count-1 that lie spread over the ranks, merged in the order of their numbers: the bits
// do not depend on the number of ranks. Rank 0 holds piece 0.
quant::Statistics merge_pieces(const std::map<std::int64_t, quant::Statistics>& mine, std::int64_t count,
                               Collective& collective);

}  // namespace bitlaw::trainer
