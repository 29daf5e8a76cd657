// XXH64 against values of the published implementation.
#include "data/formats/checksum.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace bitlaw::data {
namespace {

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 131 + 7) & 255);
  }
  return bytes;
}

struct Known {
  std::size_t size;
  std::uint64_t with_seed_0;
  std::uint64_t with_seed_2654435761;
};

// Made by the xxhash package; sizes around every branch of the algorithm.
constexpr Known kKnown[] = {
    {0, 0xef46db3751d8e999, 0xac75fda2929b17ef},   {1, 0xa96c7f0ce858bbb7, 0x84e535b36672440d},
    {3, 0xbed43740ee6332bb, 0x00b77b485431ce5d},   {4, 0xfa212ae44b3bb23d, 0x60492c4bfcb70cac},
    {7, 0x2744460dd675d2c0, 0xcdf83b729545b016},   {8, 0x994b676b71ce94dd, 0xf424edebfea8d23f},
    {31, 0x6711d55e306b5d8f, 0xfa1259cc8b20eb58},  {32, 0x07f7b8e3bc5d6e25, 0x920f3e10a5db09c6},
    {33, 0x09f85eeb4e1cbe9f, 0x3d805e8712cb4890},  {63, 0xb7c9968c066cb6a5, 0x184bc5097530bb9a},
    {100, 0x9ddada11d3dc2d8f, 0x5766be6782b96389}, {1000, 0x0bf0bdbcc82eb373, 0xb43e358553049780}};

TEST(Checksum, EqualsPublishedImplementation) {
  for (const Known& known : kKnown) {
    const auto bytes = pattern(known.size);
    EXPECT_EQ(xxh64(bytes), known.with_seed_0) << known.size;
    EXPECT_EQ(xxh64(bytes, 2654435761U), known.with_seed_2654435761) << known.size;
  }
}

TEST(Checksum, DoesNotDependOnAlignment) {
  auto bytes = pattern(257);
  const std::uint64_t aligned = xxh64(std::span(bytes).first(256));
  for (std::size_t i = 256; i > 0; --i) {
    bytes[i] = bytes[i - 1];
  }
  EXPECT_EQ(xxh64(std::span(bytes).subspan(1)), aligned);
}

TEST(Checksum, EveryBitMatters) {
  auto bytes = pattern(75);
  const std::uint64_t before = xxh64(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_NE(xxh64(bytes), before) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
}

TEST(Checksum, HexHasSixteenDigits) {
  EXPECT_EQ(to_hex(0), "0000000000000000");
  EXPECT_EQ(to_hex(0x0123456789abcdef), "0123456789abcdef");
}

}  // namespace
}  // namespace bitlaw::data
