// One quantised layer as GPTQ's tools (AutoGPTQ, GPTQModel) store it: named tensors, without the module's
// name.
//
//   qweight  I32 [in * b / 32, out]   codes packed along in, lowest bits first; b = 2, 3, 4, 8
//   qzeros   I32 [groups, out * b / 32]   zero codes packed along out; v1 stores zero - 1, v2 the zero
//   scales   F16 [groups, out]
//   g_idx    I32 [in]                 the group of each input
// w = scale * (code - zero): code and zero are q + 2^(b-1) and zero point + 2^(b-1), so a symmetric weight
// has the zero 2^(b-1). A v1 zero of 0 would be stored as 2^b - 1, which readers take for 2^b or for 0: it is
// refused both ways. Extents are multiples of 32, as the kernels of its readers want them. Torch-free.
#pragma once

#include <cstdint>

#include "quant/containers/members.h"
#include "quant/pack.h"

namespace bitlaw::quant {

enum class GptqVersion { v1, v2 };

struct GptqLayer {
  QuantSpec spec{QuantSpecFields{}};  // as the container sees it
  bool scattered_groups = false;
  Members members;
};

// `widen`: more bits than the spec has, where that is exact. NoExactForm when no width holds these weights.
struct GptqOptions {
  GptqVersion version = GptqVersion::v1;
  bool widen = false;
};
GptqLayer to_gptq(const PackedTensor& packed, const GptqOptions& options);

// What quantize_config.json says of the layer. group_size: -1 for one group.
struct GptqClaim {
  std::int64_t bits = 4;
  std::int64_t group_size = 128;
  bool symmetric = true;
  GptqVersion version = GptqVersion::v1;
};
// InputError for members that do not fit each other or the claim.
PackedTensor from_gptq(const Members& members, const GptqClaim& claim);

}  // namespace bitlaw::quant
