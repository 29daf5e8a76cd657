// Blocks of ggml: some consecutive elements of a row with their scale, byte for byte.
//
//   type    elements bytes  layout (fields in memory order; d, m float16)        value of stored code u
//   Q4_0    32       18     d, nibbles[16]                                       (u - 8) d
//   Q4_1    32       20     d, m, nibbles[16]                                    u d + m
//   Q5_0    32       22     d, high[4], nibbles[16]                              (u - 16) d
//   Q5_1    32       24     d, m, high[4], nibbles[16]                           u d + m
//   Q8_0    32       34     d, int8[32]                                          (u - 128) d
//   TQ2_0   256      66     pairs[64], d                                         (u - 1) d
//   MXFP4   32       17     e8m0, nibbles[16]                                    e2m1(u) 2^(e8m0 - 127)
//   NVFP4   64       36     ue4m3[4], nibbles[32]                                e2m1(u) ue4m3[i / 16]
//   Q2_0    64       18     d, pairs[16]                                         (u - 1) d
// nibbles: byte j holds element j in its low and j + 16 in its high half (NVFP4: j and j + 8 of each 16);
// high: bit j of a 32-bit word is bit 4 of element j; pairs of Q2_0: element j in bits 2 (j mod 4) of byte j
// / 4; of TQ2_0: of each 128 elements, byte m holds element 32 l + m in bits 2 l. Torch-free.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitlaw::quant {

enum class BlockType { q4_0, q4_1, q5_0, q5_1, q8_0, tq2_0, mxfp4, nvfp4, q2_0 };

inline constexpr std::size_t kLargestBlock = 256;

struct BlockFacts {
  std::string_view name;
  std::uint32_t id = 0;  // ggml's number of the type
  std::size_t elements = 0;
  std::size_t bytes = 0;
};
const BlockFacts& facts_of(BlockType type);
std::optional<BlockType> block_type_of(std::uint32_t id);

struct Block {
  std::array<std::uint8_t, kLargestBlock> codes{};  // stored codes u, the first `elements` of them
  std::uint16_t scale = 0;                          // float16 bits of d
  std::uint16_t minimum = 0;                        // float16 bits of m
  std::array<std::uint8_t, 4> small{};              // scale bytes: MXFP4 the first, NVFP4 all
};

// `bytes` has the length of the block.
void encode_block(BlockType type, const Block& block, std::span<std::byte> bytes);
Block decode_block(BlockType type, std::span<const std::byte> bytes);

}  // namespace bitlaw::quant
