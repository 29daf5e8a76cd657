#include "quant/containers/gguf_blocks.h"

#include <cstring>

namespace bitlaw::quant {

namespace {

constexpr std::array<BlockFacts, 9> kFacts = {{{"Q4_0", 2, 32, 18},
                                               {"Q4_1", 3, 32, 20},
                                               {"Q5_0", 6, 32, 22},
                                               {"Q5_1", 7, 32, 24},
                                               {"Q8_0", 8, 32, 34},
                                               {"TQ2_0", 35, 256, 66},
                                               {"MXFP4", 39, 32, 17},
                                               {"NVFP4", 40, 64, 36},
                                               {"Q2_0", 42, 64, 18}}};

// Where one code lies: byte after the scales, shift of its low bits.
struct Place {
  std::size_t byte;
  int shift;
};

Place place_of(BlockType type, std::size_t element) {
  switch (type) {
    case BlockType::q8_0:
      return {element, 0};
    case BlockType::q2_0:
      return {element / 4, static_cast<int>(element % 4) * 2};
    case BlockType::tq2_0:
      return {element / 128 * 32 + element % 32, static_cast<int>(element % 128 / 32) * 2};
    case BlockType::nvfp4:
      return {element / 16 * 8 + element % 8, element % 16 < 8 ? 0 : 4};
    default:
      return {element % 16, element < 16 ? 0 : 4};
  }
}

unsigned mask_of(BlockType type) {
  switch (type) {
    case BlockType::q8_0:
      return 0xFF;
    case BlockType::q2_0:
    case BlockType::tq2_0:
      return 3;
    default:
      return 15;
  }
}

// Where fields begin; fields that a type lacks are at kNone.
struct Offsets {
  static constexpr std::size_t kNone = SIZE_MAX;
  std::size_t scale = 0;
  std::size_t minimum = kNone;
  std::size_t high = kNone;
  std::size_t small = kNone;
  std::size_t small_count = 0;
  std::size_t codes = 2;
};

Offsets offsets_of(BlockType type) {
  constexpr std::size_t kNone = Offsets::kNone;
  switch (type) {
    case BlockType::q4_1:
      return {0, 2, kNone, kNone, 0, 4};
    case BlockType::q5_0:
      return {0, kNone, 2, kNone, 0, 6};
    case BlockType::q5_1:
      return {0, 2, 4, kNone, 0, 8};
    case BlockType::tq2_0:
      return {64, kNone, kNone, kNone, 0, 0};
    case BlockType::mxfp4:
      return {kNone, kNone, kNone, 0, 1, 1};
    case BlockType::nvfp4:
      return {kNone, kNone, kNone, 0, 4, 4};
    default:
      return {};
  }
}

template <class T>
void put(std::span<std::byte> bytes, std::size_t at, const T& value) {
  if (at != Offsets::kNone) {
    std::memcpy(bytes.subspan(at, sizeof(T)).data(), &value, sizeof(T));
  }
}

template <class T>
T get(std::span<const std::byte> bytes, std::size_t at) {
  T value{};
  if (at != Offsets::kNone) {
    std::memcpy(&value, bytes.subspan(at, sizeof(T)).data(), sizeof(T));
  }
  return value;
}

// Q8_0 stores q, the others u: u = q + 128 differs in the highest bit.
unsigned stored(BlockType type, unsigned code) {
  return type == BlockType::q8_0 ? code ^ 0x80U : code;
}

}  // namespace

const BlockFacts& facts_of(BlockType type) {
  return kFacts.at(static_cast<std::size_t>(type));
}

std::optional<BlockType> block_type_of(std::uint32_t id) {
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    if (kFacts[i].id == id) {
      return static_cast<BlockType>(i);
    }
  }
  return std::nullopt;
}

void encode_block(BlockType type, const Block& block, std::span<std::byte> bytes) {
  const Offsets offsets = offsets_of(type);
  std::memset(bytes.data(), 0, bytes.size());
  put(bytes, offsets.scale, block.scale);
  put(bytes, offsets.minimum, block.minimum);
  for (std::size_t i = 0; i < offsets.small_count; ++i) {
    put(bytes, offsets.small + i, block.small[i]);
  }
  std::uint32_t high = 0;
  for (std::size_t i = 0; i < facts_of(type).elements; ++i) {
    const Place place = place_of(type, i);
    const unsigned code = stored(type, block.codes[i]);
    bytes[offsets.codes + place.byte] |= static_cast<std::byte>((code & mask_of(type)) << place.shift);
    if (offsets.high != Offsets::kNone) {
      high |= (code >> 4 & 1U) << i;
    }
  }
  put(bytes, offsets.high, high);
}

Block decode_block(BlockType type, std::span<const std::byte> bytes) {
  const Offsets offsets = offsets_of(type);
  Block block;
  block.scale = get<std::uint16_t>(bytes, offsets.scale);
  block.minimum = get<std::uint16_t>(bytes, offsets.minimum);
  for (std::size_t i = 0; i < offsets.small_count; ++i) {
    block.small[i] = get<std::uint8_t>(bytes, offsets.small + i);
  }
  const auto high = get<std::uint32_t>(bytes, offsets.high);
  for (std::size_t i = 0; i < facts_of(type).elements; ++i) {
    const Place place = place_of(type, i);
    const unsigned low =
        std::to_integer<unsigned>(bytes[offsets.codes + place.byte]) >> place.shift & mask_of(type);
    const unsigned fifth = offsets.high == Offsets::kNone ? 0U : (high >> i & 1U) << 4;
    block.codes[i] = static_cast<std::uint8_t>(stored(type, low | fifth));
  }
  return block;
}

}  // namespace bitlaw::quant
