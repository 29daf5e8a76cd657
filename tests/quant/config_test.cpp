// Partial specs become full ones: own value, else the enclosing one, else the documented default.
#include "quant/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using data::InputError;
using test::message_of;
using testing::HasSubstr;

SpecConfig bits(std::int64_t num_bits) {
  SpecConfig config;
  config.num_bits = num_bits;
  return config;
}

SpecConfig grouped(std::int64_t num_bits, std::int64_t group_size) {
  SpecConfig config = bits(num_bits);
  config.strategy = Strategy::group;
  config.group_size = group_size;
  return config;
}

TEST(WeightSpec, DefaultsAreThoseOfTheDocumentation) {
  EXPECT_EQ(weight_spec({}).to_string(), "int8.channel.sym");
  EXPECT_EQ(weight_spec(grouped(3, 64)).to_string(), "int3.g64.sym");
}

TEST(WeightSpec, SymmetricTwoBitWeightsTakeTheHalfGrid) {
  EXPECT_EQ(weight_spec(grouped(2, 64)).to_string(), "int2h.g64.sym");
  SpecConfig asymmetric = grouped(2, 64);
  asymmetric.symmetric = false;
  EXPECT_EQ(weight_spec(asymmetric).to_string(), "int2.g64.asym");
  SpecConfig integer = grouped(2, 64);
  integer.grid = Grid::integer;
  EXPECT_EQ(weight_spec(integer).to_string(), "int2.g64.sym");
}

TEST(WeightSpec, OverrideInheritsWhatItDoesNotSay) {
  SpecConfig enclosing = grouped(2, 64);
  enclosing.scale_dtype = ScaleType::bfloat16;
  EXPECT_EQ(weight_spec(bits(8), enclosing).to_string(), "int8.g64.sym.bfloat16");
  enclosing.grid = Grid::half;
  EXPECT_EQ(weight_spec(bits(8), enclosing).to_string(), "int8h.g64.sym.bfloat16");
  SpecConfig channel;
  channel.strategy = Strategy::channel;
  EXPECT_EQ(weight_spec(channel, grouped(4, 64)).to_string(), "int4.channel.sym");
}

TEST(WeightSpec, GroupSizeAloneMeansGroups) {
  SpecConfig size;
  size.group_size = 32;
  EXPECT_EQ(weight_spec(size).to_string(), "int8.g32.sym");
  EXPECT_EQ(weight_spec(size, grouped(4, 64)).to_string(), "int4.g32.sym");
  SpecConfig channel = bits(4);
  channel.strategy = Strategy::channel;
  EXPECT_EQ(weight_spec(size, channel).to_string(), "int4.g32.sym");
}

TEST(WeightSpec, ContradictionsAreRefused) {
  SpecConfig config;
  config.strategy = Strategy::group;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("group_size 0"));
  config.strategy = Strategy::channel;
  config.group_size = 64;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("group_size 64 with strategy: channel"));
  config = {};
  config.strategy = Strategy::token;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("a weight has no tokens"));
  config = {};
  config.dynamic = true;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("dynamic: true"));
}

}  // namespace
}  // namespace bitlaw::quant
