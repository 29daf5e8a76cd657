// Every valid spec has one text form and comes back from it; contradictions are refused with a reason.
#include "quant/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "data/formats/input_errors.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using data::InputError;
using test::message_of;
using testing::HasSubstr;

std::vector<QuantSpecFields> all_combinations() {
  std::vector<QuantSpecFields> all;
  for (std::int64_t bits = 1; bits <= 9; ++bits) {
    for (const bool symmetric : {true, false}) {
      for (const Grid grid : {Grid::integer, Grid::half}) {
        for (const Strategy strategy :
             {Strategy::tensor, Strategy::channel, Strategy::group, Strategy::token}) {
          for (const std::int64_t group_size : {0, 1, 64, 65536, 65537}) {
            for (const ScaleType type : {ScaleType::float32, ScaleType::float16, ScaleType::bfloat16}) {
              QuantSpecFields fields;
              fields.num_bits = bits;
              fields.symmetric = symmetric;
              fields.grid = grid;
              fields.strategy = strategy;
              fields.group_size = group_size;
              fields.scale_dtype = type;
              all.push_back(fields);
            }
          }
        }
      }
    }
  }
  return all;
}

bool is_consistent(const QuantSpecFields& fields) {  // the rules, said once more
  const bool size_fits = fields.strategy == Strategy::group
                             ? fields.group_size >= 1 && fields.group_size <= 65536
                             : fields.group_size == 0;
  return fields.num_bits >= 2 && fields.num_bits <= 8 && size_fits &&
         (fields.symmetric || fields.grid == Grid::integer);
}

TEST(QuantSpec, ConsistentFieldsAndOnlyThoseMakeASpecAndATextOfTheirOwn) {
  std::set<std::string> texts;
  std::size_t valid = 0;
  for (const QuantSpecFields& fields : all_combinations()) {
    if (!is_consistent(fields)) {
      EXPECT_THROW(QuantSpec{fields}, InputError);
      continue;
    }
    ++valid;
    const QuantSpec spec(fields);
    const QuantSpec back = QuantSpec::parse(spec.to_string());
    EXPECT_EQ(back, spec);
    EXPECT_EQ(back.fields().num_bits, fields.num_bits);
    EXPECT_EQ(back.fields().symmetric, fields.symmetric);
    EXPECT_EQ(back.fields().grid, fields.grid);
    EXPECT_EQ(back.fields().strategy, fields.strategy);
    EXPECT_EQ(back.fields().group_size, fields.group_size);
    EXPECT_EQ(back.fields().scale_dtype, fields.scale_dtype);
    texts.insert(spec.to_string());
  }
  EXPECT_EQ(valid, 7U * 3U * (3U + 3U) * 3U);  // bits, (sym, sym half, asym), strategies, scale types
  EXPECT_EQ(texts.size(), valid);
}

TEST(QuantSpec, TextFormsAreThoseOfTheDocumentation) {
  const auto text = [](QuantSpecFields fields) { return QuantSpec(fields).to_string(); };
  EXPECT_EQ(text({.num_bits = 4, .strategy = Strategy::group, .group_size = 128}), "int4.g128.sym");
  EXPECT_EQ(text({.num_bits = 2, .grid = Grid::half, .strategy = Strategy::group, .group_size = 64}),
            "int2h.g64.sym");
  EXPECT_EQ(text({.symmetric = false, .scale_dtype = ScaleType::float32}), "int8.channel.asym.float32");
  EXPECT_EQ(text({.strategy = Strategy::token}), "int8.token.sym");
}

TEST(QuantSpec, OtherTextsAreRefused) {
  for (const char* text : {"",
                           "int4",
                           "int4.g128",
                           "uint4.g128.sym",
                           "int.g128.sym",
                           "int04.g128.sym",
                           "int4.g.sym",
                           "int4.g0.sym",
                           "int4.g-64.sym",
                           "int4.g64x.sym",
                           "int4.group.sym",
                           "int4.g64.symm",
                           "int4.g64.sym.float64",
                           "int4.g64.sym.",
                           "int4.g64.sym.float16.x",
                           "int4.g64.sym.float16.zp_float16.x",
                           "int4h.g64.asym",
                           "int1.g64.sym",
                           "int9.g64.sym",
                           "int4 .g64.sym",
                           "int4..sym",
                           "int4hh.g64.sym",
                           "int99999999999999999999.g64.sym",
                           "fp4.g64.sym"}) {
    EXPECT_THROW(QuantSpec::parse(text), InputError) << text;
  }
}

TEST(QuantSpec, MessagesNameValueReasonAndRemedy) {
  EXPECT_THAT(message_of([] { QuantSpec::parse("int4"); }), HasSubstr("'int4' is no quantisation"));
  EXPECT_THAT(message_of([] { QuantSpec::parse("int9.channel.sym"); }),
              testing::AllOf(HasSubstr("num_bits is 9"), HasSubstr("2 to 8")));
  EXPECT_THAT(message_of([] { QuantSpec::parse("int2h.channel.asym"); }), HasSubstr("grid: half"));
  EXPECT_THAT(message_of([] {
                QuantSpecFields fields;
                fields.group_size = 64;
                QuantSpec{fields};
              }),
              HasSubstr("group_size 64 with strategy: channel"));
  EXPECT_THAT(message_of([] { QuantSpec::parse("int4.g64.sym").groups(100); }),
              HasSubstr("group_size 64 does not divide 100 inputs"));
}

TEST(QuantSpec, EverythingThatIsWrongIsSaidAtOnce) {
  QuantSpecFields fields;
  fields.type = NumberType::quantile;
  fields.num_bits = 5;
  fields.grid = Grid::half;
  fields.group_size = 64;
  fields.zero_point_dtype = ZeroPointType::float16;
  fields.scale_dtype = ScaleType::e8m0;
  const auto messages = [&] {
    try {
      QuantSpec{fields};
    } catch (const InputError& error) {
      return data::messages_of(error);
    }
    return std::vector<std::string>();
  }();
  EXPECT_THAT(messages, testing::ElementsAre(
                            HasSubstr("type: nf with num_bits 5"), HasSubstr("grid: half with type: nf"),
                            HasSubstr("zero_point_dtype: float16 without zero points"),
                            HasSubstr("group_size 64 with strategy: channel"),
                            HasSubstr("the MX formats are"), HasSubstr("an MX block is 32 elements")));
  fields = {};
  fields.type = NumberType::floating;
  fields.num_bits = 7;
  fields.scale_dtype = ScaleType::e4m3;
  EXPECT_THAT(message_of([&] { QuantSpec{fields}; }), testing::AllOf(HasSubstr("type: float with num_bits 7"),
                                                                     HasSubstr("so they belong to groups")));
}

TEST(QuantSpec, RangesAndOffsets) {
  const QuantSpec three = QuantSpec::parse("int3.channel.sym");
  EXPECT_EQ(three.q_min(), -4);
  EXPECT_EQ(three.q_max(), 3);
  EXPECT_EQ(three.level_offset(), 0.0);
  const QuantSpec half = QuantSpec::parse("int2h.channel.sym");
  EXPECT_EQ(half.q_min(), -2);
  EXPECT_EQ(half.q_max(), 1);
  EXPECT_EQ(half.level_offset(), 0.5);
}

TEST(QuantSpec, BitsPerWeightCountWhatIsShared) {
  const auto bits = [](const char* text) { return QuantSpec::parse(text).bits_per_weight(128, 256); };
  EXPECT_DOUBLE_EQ(bits("int4.g128.sym"), 4.125);
  EXPECT_DOUBLE_EQ(bits("int4.g64.asym"), 4 + 24.0 / 64);
  EXPECT_DOUBLE_EQ(bits("int2h.g64.sym.float32"), 2.5);
  EXPECT_DOUBLE_EQ(bits("int8.channel.sym.bfloat16"), 8 + 16.0 / 256);
  EXPECT_DOUBLE_EQ(bits("int8.tensor.asym"), 8 + 24.0 / (128 * 256));
}

TEST(QuantSpec, GroupsOfARow) {
  EXPECT_EQ(QuantSpec::parse("int4.g64.sym").groups(256), 4);
  EXPECT_EQ(QuantSpec::parse("int4.g64.sym").group_width(256), 64);
  EXPECT_EQ(QuantSpec::parse("int4.channel.sym").groups(256), 1);
  EXPECT_EQ(QuantSpec::parse("int4.channel.sym").group_width(256), 256);
}

}  // namespace
}  // namespace bitlaw::quant
