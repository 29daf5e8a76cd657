// Configuration of the formats besides integers: what completes, what is inherited, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/config.h"
#include "quant/float_format.h"
#include "quant/input_plan.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

// What amax is divided by.
float largest_number(const QuantSpec& spec) {
  if (spec.fields().type == NumberType::floating) {
    return layout_of(*spec.fields().format).largest;
  }
  return static_cast<float>((1 << spec.bits()) - 1) / 2.0F;
}

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

// Every number whose scale type is left out: its scales keep their digits at the sizes that weights have.
TEST(FormatConfig, ScalesKeepTheirDigitsInTheDefaultType) {
  std::vector<SpecConfig> all;
  for (std::int64_t bits = 2; bits <= 8; ++bits) {
    all.emplace_back().num_bits = bits;
  }
  for (const FloatFormat format :
       {FloatFormat::e1m1, FloatFormat::e2m0, FloatFormat::e2m1, FloatFormat::e3m0, FloatFormat::e2m2,
        FloatFormat::e3m1, FloatFormat::e2m3, FloatFormat::e3m2, FloatFormat::e4m3, FloatFormat::e5m2}) {
    all.emplace_back().format = format;
  }
  for (SpecConfig& config : all) {
    if (config.format == FloatFormat::e5m2) {
      EXPECT_THAT(message_of([&] { weight_spec(config); }),
                  AllOf(HasSubstr("format: e5m2 with scale_dtype: float16"), HasSubstr("bfloat16")));
      config.scale_dtype = ScaleType::bfloat16;
    }
    const QuantSpec spec = weight_spec(config);
    for (float amax = 0.005F; amax < 1.0F; amax *= 1.037F) {
      const std::vector<float> w = {amax, -amax};
      const float scale = find_parameters(w, 1, 2, spec, ScaleSearch::absmax).scale[0];
      const float exact = amax / largest_number(spec);
      EXPECT_NEAR(scale / exact, 1.0, 0x1p-8) << spec.to_string() << " " << amax;
    }
  }
}

TEST(FormatConfig, E5M2InputsNeedAnotherScaleTypeToo) {
  ActivationConfig config;
  config.format = FloatFormat::e5m2;
  EXPECT_THAT(message_of([&] { input_plan(config); }), HasSubstr("e5m2 with scale_dtype: float16"));
  config.scale_dtype = ScaleType::float32;
  EXPECT_EQ(input_plan(config).spec.to_string(), "e5m2.token.sym.float32");
  config.scale_dtype = ScaleType::e8m0;
  config.group_size = 32;
  EXPECT_EQ(input_plan(config).spec.to_string(), "e5m2.g32.sym.e8m0");
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
