// One quantised weight as a tensor of ggml's blocks (gguf_blocks.h): which type holds it exactly, its bytes,
// and back.
//
//   weight                                     type
//   int4, int5, int8 .sym                      Q4_0, Q5_0, Q8_0: scale float16, groups whole blocks of 32
//   int2 .sym                                  Q2_0 (blocks of 64) with d = -scale: its levels are -1 ... 2
//   int4h, int5h; int4, int5 .asym             Q4_1, Q5_1 where the minimum is exact in float16
//   ternary                                    TQ2_0 (blocks of 256), Q2_0
//   e2m1.g32.sym.e8m0, e2m1.g16.sym.e4m3       MXFP4; NVFP4 (rows whole blocks of 64)
// With `widen` a wider one of these: q in more bits; half grids of b bits as 2q + 1 in b + 1; asymmetric ones
// as q - zero point in b + 1 bits, their zero points beside it. A scale that several blocks share is
// repeated. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "quant/containers/gguf_blocks.h"
#include "quant/pack.h"

namespace bitlaw::quant {

struct GgufWeight {
  BlockType type = BlockType::q4_0;
  std::vector<std::byte> bytes;          // [out, in / elements * bytes of a block]
  std::optional<float> global_scale;     // NVFP4: multiplies the weights
  std::vector<std::int8_t> zero_points;  // that went into the codes; like the scales of the weight
};

// NoExactForm (restate.h) when no type holds these weights; the sign of a zero is not kept.
GgufWeight to_gguf(const PackedTensor& packed, bool widen);

// Any tensor of these types, whoever wrote it: blocks with a scale of zero become zeros with a scale of 1, a
// negative scale becomes a positive one with other codes (and a zero point of -1 where levels need it).
// `bits`: codes of fewer bits than the type's are known to be in it (Q4_1, Q5_1). InputError for bytes that
// do not fit, for a scale that is not finite, and for a minimum that is no multiple of half the scale.
struct GgufSource {
  BlockType type = BlockType::q4_0;
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  std::span<const std::byte> bytes;
  std::optional<float> global_scale;
  int bits = 0;  // 0: those of the type
};
PackedTensor from_gguf(const GgufSource& source);

}  // namespace bitlaw::quant
