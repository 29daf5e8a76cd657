// Configuration of the formats besides integers: what completes, what is inherited, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "quant/config.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

SpecConfig mxfp4() {
  SpecConfig config;
  config.format = FloatFormat::e2m1;
  config.group_size = 32;
  config.scale_dtype = ScaleType::e8m0;
  return config;
}

TEST(FormatConfig, KeysThatFollowFromOthers) {
  EXPECT_EQ(weight_spec(mxfp4()).to_string(), "e2m1.g32.sym.e8m0");
  SpecConfig config;
  config.type = NumberType::floating;
  EXPECT_EQ(weight_spec(config).to_string(), "e4m3.channel.sym");
  config.num_bits = 3;
  EXPECT_EQ(weight_spec(config).to_string(), "e1m1.channel.sym");
  config = {};
  config.type = NumberType::ternary;
  EXPECT_EQ(weight_spec(config).to_string(), "ternary.channel.sym");
  config = {};
  config.type = NumberType::quantile;
  config.num_bits = 4;
  config.block_structure = {2, 64};
  EXPECT_EQ(weight_spec(config).to_string(), "nf4.b2x64.sym");
  config = {};
  config.num_bits = 4;
  config.symmetric = false;
  config.zero_point_dtype = ZeroPointType::float16;
  EXPECT_EQ(weight_spec(config).to_string(), "int4.channel.asym.float16.zp_float16");
}

TEST(FormatConfig, OverridesInheritWhatStillMakesSense) {
  SpecConfig wider;
  wider.num_bits = 8;
  EXPECT_EQ(weight_spec(wider, mxfp4()).to_string(), "e4m3.g32.sym.e8m0");
  wider.type = NumberType::integer;
  EXPECT_EQ(weight_spec(wider, mxfp4()).to_string(), "int8.g32.sym.e8m0");
  SpecConfig hqq;
  hqq.num_bits = 4;
  hqq.group_size = 64;
  hqq.symmetric = false;
  hqq.zero_point_dtype = ZeroPointType::float16;
  SpecConfig symmetric;
  symmetric.symmetric = true;
  EXPECT_EQ(weight_spec(symmetric, hqq).to_string(), "int4.g64.sym");
  SpecConfig format;
  format.format = FloatFormat::e3m2;
  EXPECT_EQ(weight_spec(format, hqq).to_string(), "e3m2.g64.asym");
  SpecConfig block;
  block.block_structure = {16, 16};
  EXPECT_EQ(weight_spec(block, hqq).to_string(), "int4.b16x16.asym.float16.zp_float16");
  EXPECT_EQ(weight_spec({}, block).to_string(), "int8.b16x16.sym");
}

TEST(FormatConfig, ContradictionsAreRefusedWithTheReason) {
  SpecConfig config = mxfp4();
  config.group_size = 64;
  EXPECT_THAT(message_of([&] { weight_spec(config); }),
              AllOf(HasSubstr("group_size 64"), HasSubstr("32 elements")));
  config = mxfp4();
  config.num_bits = 8;
  EXPECT_THAT(message_of([&] { weight_spec(config); }),
              AllOf(HasSubstr("num_bits 8 with format: e2m1"), HasSubstr("has 4 bits")));
  config = mxfp4();
  config.type = NumberType::integer;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("format: e2m1 with type: int"));
  config = mxfp4();
  config.format.reset();
  config.num_bits = 8;
  config.symmetric = false;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("neither zero point"));
  config = {};
  config.type = NumberType::ternary;
  config.num_bits = 4;
  EXPECT_THAT(message_of([&] { weight_spec(config); }), HasSubstr("num_bits 4 with type: ternary"));
  config = {};
  config.zero_point_dtype = ZeroPointType::float16;
  EXPECT_THAT(message_of([&] { weight_spec(config); }),
              HasSubstr("zero_point_dtype: float16 without zero points"));
}

}  // namespace
}  // namespace bitlaw::quant
