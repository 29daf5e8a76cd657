// What a GGUF header of many small entries costs.
#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "quant/containers/gguf.h"

namespace bitlaw::quant {
namespace {

// Layers of one block each, and as many keys.
GgufContents many(int count) {
  GgufContents contents;
  for (int i = 0; i < count; ++i) {
    const std::string module = std::string("m").append(std::to_string(i));
    contents.header.values.emplace_back(std::string("k").append(module), std::uint8_t{0});
    contents.header.tensors.push_back({module + ".weight", data::GgmlType::q4_0, {32, 1}, 0, 18});
    contents.bytes.emplace(module + ".weight", std::vector<std::byte>(18));
    contents.header.tensors.push_back({module + ".scale", data::GgmlType::f32, {1}, 0, 4});
    contents.bytes.emplace(module + ".scale", std::vector<std::byte>(4));
  }
  return contents;
}

double seconds_to_read(int count) {
  const GgufContents contents = many(count);
  const std::clock_t begin = std::clock();  // of this process: other work on the machine does not count
  EXPECT_EQ(read_gguf(contents, "x").weights.size(), static_cast<std::size_t>(count));
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// A search through all entries for each would take 64 times as long; n log n takes 9 times.
TEST(GgufCost, GrowsWithTheEntries) {
  seconds_to_read(1000);
  EXPECT_LT(seconds_to_read(16000), 25.0 * seconds_to_read(2000));
}

}  // namespace
}  // namespace bitlaw::quant
