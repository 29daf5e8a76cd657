// Specs of the floating, quantile, ternary, block and two-level formats: completion, text, bits, refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/spec.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(SpecFormats, TextsComeBackAsTheyWere) {
  for (const char* text : {"e2m1.g32.sym.e8m0",
                           "e2m3.g32.sym.e8m0",
                           "e3m2.g32.sym.e8m0",
                           "e4m3.g32.sym.e8m0",
                           "e5m2.g32.sym.e8m0",
                           "int8.g32.sym.e8m0",
                           "e2m1.g16.sym.e4m3",
                           "int4.g16.sym.e4m3",
                           "nf4.g16.sym.e4m3",
                           "nf4.g64.sym",
                           "nf3.channel.asym",
                           "ternary.channel.sym",
                           "ternary.tensor.sym.float32",
                           "int4.g64.asym.float16.zp_float16",
                           "int4.g64.asym.float32.zp_float16",
                           "e4m3.b128x128.sym.float32",
                           "int8.b1x64.asym.bfloat16",
                           "e3m0.g64.asym",
                           "e1m1.g64.sym",
                           "e2m0.g64.sym",
                           "e2m2.channel.sym",
                           "e3m1.token.sym"}) {
    EXPECT_EQ(QuantSpec::parse(text).to_string(), text);
  }
}

TEST(SpecFormats, FieldsCompleteEachOther) {
  const auto text = [](QuantSpecFields fields) { return QuantSpec(fields).to_string(); };
  EXPECT_EQ(text({.num_bits = 3, .type = NumberType::floating}), "e1m1.channel.sym");
  EXPECT_EQ(text({.num_bits = 4, .type = NumberType::floating}), "e2m1.channel.sym");
  EXPECT_EQ(text({.num_bits = 5, .type = NumberType::floating}), "e2m2.channel.sym");
  EXPECT_EQ(text({.num_bits = 6, .type = NumberType::floating}), "e2m3.channel.sym");
  EXPECT_EQ(text({.num_bits = 8, .type = NumberType::floating}), "e4m3.channel.sym");
  const QuantSpec e3m2({.type = NumberType::floating, .format = FloatFormat::e3m2});
  EXPECT_EQ(e3m2.bits(), 6);
  EXPECT_EQ(QuantSpec({.type = NumberType::ternary}).bits(), 2);
  EXPECT_EQ(QuantSpec::parse("ternary.channel.sym").q_min(), -1);
  EXPECT_EQ(QuantSpec::parse("ternary.channel.sym").q_max(), 1);
  EXPECT_EQ(QuantSpec::parse("int8.g32.sym.e8m0").q_min(), -127);
}

TEST(SpecFormats, BitsPerWeight) {
  const auto bits = [](const char* text) { return QuantSpec::parse(text).bits_per_weight(128, 256); };
  EXPECT_DOUBLE_EQ(bits("e2m1.g32.sym.e8m0"), 4.25);
  EXPECT_DOUBLE_EQ(bits("e3m2.g32.sym.e8m0"), 6.25);
  EXPECT_DOUBLE_EQ(bits("e4m3.g32.sym.e8m0"), 8.25);
  EXPECT_DOUBLE_EQ(bits("e2m1.g16.sym.e4m3"), 4.5 + 32.0 / (128 * 256));
  EXPECT_DOUBLE_EQ(bits("nf4.g64.sym"), 4.25);
  EXPECT_DOUBLE_EQ(bits("nf3.g64.asym"), 3.5);
  EXPECT_DOUBLE_EQ(bits("int4.g64.asym.float16.zp_float16"), 4.5);
  EXPECT_DOUBLE_EQ(bits("ternary.channel.sym"), 2 + 16.0 / 256);
  EXPECT_DOUBLE_EQ(bits("e4m3.b128x128.sym.float32"), 8 + 32.0 / (128 * 128));
}

TEST(SpecFormats, ExtentsOfScales) {
  const QuantSpec block = QuantSpec::parse("e4m3.b16x64.sym");
  EXPECT_EQ(block.scale_rows(48), 3);
  EXPECT_EQ(block.groups(256), 4);
  EXPECT_EQ(block.group_height(48), 16);
  EXPECT_EQ(block.group_width(256), 64);
  EXPECT_EQ(QuantSpec::parse("int4.tensor.sym").scale_rows(48), 1);
  EXPECT_EQ(QuantSpec::parse("int4.channel.sym").scale_rows(48), 48);
}

std::string refusal(const std::string& text) {
  return test::message_of([&] { (void)QuantSpec::parse(text).bits_per_weight(48, 256); });
}

TEST(SpecFormats, ContradictionsAreRefusedWithTheReason) {
  EXPECT_THAT(refusal("e2m1.g64.sym.e8m0"), AllOf(HasSubstr("group_size 64"), HasSubstr("32 elements")));
  EXPECT_THAT(refusal("e2m1.channel.sym.e8m0"), HasSubstr("strategy: channel"));
  EXPECT_THAT(refusal("int8.g32.asym.e8m0"), HasSubstr("neither zero point"));
  EXPECT_THAT(refusal("int4.g32.sym.e8m0"), HasSubstr("MX formats are"));
  EXPECT_THAT(refusal("e3m0.g32.sym.e8m0"), HasSubstr("MX formats are"));
  EXPECT_THAT(refusal("nf4.g32.sym.e8m0"), HasSubstr("type: nf"));
  EXPECT_THAT(refusal("e2m1.channel.sym.e4m3"), HasSubstr("belong to groups"));
  EXPECT_THAT(refusal("e2m1.g16.asym.e4m3"), HasSubstr("symmetric numbers"));
  EXPECT_THAT(refusal("ternary.g64.asym"), HasSubstr("-1, 0 and 1"));
  EXPECT_THAT(refusal("int4.g64.sym.float16.zp_float16"), HasSubstr("without zero points"));
  EXPECT_THAT(refusal("nf4.g64.asym.float16.zp_float16"), HasSubstr("without zero points"));
  EXPECT_THAT(refusal("nf5.g64.sym"), HasSubstr("NF3 and NF4"));
  EXPECT_THAT(refusal("e4m3.b7x64.sym"), AllOf(HasSubstr("7x64 does not divide"), HasSubstr("48 outputs")));
  EXPECT_THAT(refusal("e4m3.b16x7.sym"), HasSubstr("256 inputs"));
  for (const char* text :
       {"e2m1h.g64.sym", "nf4h.g64.sym", "e9m9.g64.sym", "nf.g64.sym", "e4m3.b128.sym", "e4m3.b0x4.sym",
        "e4m3.block.sym", "ternary2.g64.sym", "int4.g64.asym.zp_float16"}) {
    EXPECT_THAT(refusal(text), HasSubstr("is no quantisation")) << text;
  }
}

std::string refusal_of_fields(const QuantSpecFields& fields) {
  return test::message_of([&] { const QuantSpec spec(fields); });
}

TEST(SpecFormats, FieldsThatNoTextCanSay) {
  EXPECT_THAT(refusal_of_fields({.num_bits = 7, .type = NumberType::floating}), HasSubstr("num_bits 7"));
  EXPECT_THAT(refusal_of_fields({.format = FloatFormat::e2m1}), HasSubstr("format: e2m1 with type: int"));
  EXPECT_THAT(refusal_of_fields({.type = NumberType::ternary, .grid = Grid::half}),
              HasSubstr("given by the type"));
  EXPECT_THAT(refusal_of_fields({.strategy = Strategy::block}), HasSubstr("block_structure of 0 numbers"));
  EXPECT_THAT(refusal_of_fields({.strategy = Strategy::block, .block_structure = {4, 0}}),
              HasSubstr("out of range"));
  EXPECT_THAT(refusal_of_fields({.block_structure = {4, 4}}),
              HasSubstr("block_structure with strategy: channel"));
}

}  // namespace
}  // namespace bitlaw::quant
