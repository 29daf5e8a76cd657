// One quantised layer as AutoAWQ's GEMM version stores it: named tensors, without the module's name in front.
//
//   qweight  I32 [in, out / 8]      nibble i of word c holds the code of output 8c + {0, 2, 4, 6, 1, 3, 5,
//   7}[i] qzeros   I32 [groups, out / 8]  zero codes in the same order, stored as they are scales   F16
//   [groups, out]
// w = (code - zero) * scale; 4 bits only; code and zero are q + 8 and zero point + 8. Torch-free.
#pragma once

#include <cstdint>

#include "quant/containers/members.h"
#include "quant/pack.h"

namespace bitlaw::quant {

// `group_size`: of the whole file, -1 for one group of all inputs; it divides the groups of this weight.
// `widen`: 4 bits for a spec that has fewer, where that is exact. NoExactForm when it is not.
struct AwqOptions {
  std::int64_t group_size = 128;
  bool widen = false;
};
Members to_awq(const PackedTensor& packed, const AwqOptions& options);

// InputError for members that do not fit. Symmetric when all zeros are 8, else asymmetric.
PackedTensor from_awq(const Members& members, std::int64_t group_size);

}  // namespace bitlaw::quant
