// Byte layouts against hand-computed vectors, and the small parts that containers are made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <numeric>

#include "data/formats/input_error.h"
#include "data/formats/json.h"
#include "quant/containers/awq_layer.h"
#include "quant/containers/bit_matrix.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/gptq_layer.h"
#include "quant/containers/module_pattern.h"
#include "quant/containers/restate.h"
#include "quant/containers/small_scales.h"
#include "tests/quant/containers/sample_weights.h"

namespace bitlaw::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::uint8_t> codes(std::size_t count, const std::function<int(int)>& code) {
  std::vector<std::uint8_t> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<std::uint8_t>(code(static_cast<int>(i))));
  }
  return values;
}

TEST(Layouts, DenseAndOldWordsOfCompressedTensors) {
  const auto four = codes(16, [](int i) { return i; });
  EXPECT_THAT(pack_matrix(four, 16, 4), ElementsAre(0x76543210U, 0xfedcba98U));
  const auto three = codes(32, [](int i) { return i % 8; });
  EXPECT_THAT(pack_matrix(three, 32, 3), ElementsAre(0x88fac688U, 0xc688fac6U, 0xfac688faU));
  EXPECT_THAT(pack_matrix(three, 32, 3, WordLayout::words),
              ElementsAre(0x08fac688U, 0x1a23eb1aU, 0x2c688facU, 0x0000003eU));
  const auto five = codes(32, [](int i) { return i; });
  EXPECT_THAT(pack_matrix(five, 32, 5),
              ElementsAre(0x8a418820U, 0xc5a92839U, 0xca307b9aU, 0x38bdab49U, 0xffbbcdebU));
  const auto six = codes(32, [](int i) { return 2 * i % 64; });
  EXPECT_THAT(pack_matrix(six, 32, 6),
              ElementsAre(0x88184080U, 0x449038c2U, 0x79c69859U, 0xa89a48a0U, 0x4cb0bacaU, 0xfbceb8dbU));
}

TEST(Layouts, EveryWidthComesBackInBothLayouts) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const std::size_t columns : {1U, 7U, 11U, 32U, 45U}) {
      const auto values = codes(3 * columns, [&](int i) { return i * 5 % (1 << bits); });
      for (const WordLayout layout : {WordLayout::dense, WordLayout::words}) {
        const auto words = pack_matrix(values, columns, bits, layout);
        EXPECT_EQ(words.size(), 3 * words_of_row(columns, bits, layout));
        EXPECT_EQ(unpack_matrix(words, columns, bits, layout), values);
      }
    }
  }
}

TEST(Layouts, TransposedTwiceIsTheSame) {
  std::vector<std::uint32_t> values(70 * 130);
  std::iota(values.begin(), values.end(), 0U);
  const auto turned = transposed<std::uint32_t>(values, 130);
  EXPECT_EQ(turned[1], 130U);
  EXPECT_EQ(turned[70], 1U);
  EXPECT_EQ(transposed<std::uint32_t>(turned, 70), values);
}

PackedTensor ascending(const std::string& spec, std::int64_t out, std::int64_t in, bool along_in) {
  PackedTensor packed = tests::sample_weight(spec, out, in);
  const auto values = codes(static_cast<std::size_t>(out * in), [&](int i) {
    return along_in ? i % static_cast<int>(in) % 16 : i / static_cast<int>(in) % 16;
  });
  return pack(std::move(packed), values);
}

std::uint32_t word(const data::RawTensor& tensor, std::size_t index) {
  std::uint32_t value = 0;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(value), sizeof(value));
  return value;
}

TEST(Layouts, WordsOfGptqAndAwq) {
  const GptqLayer gptq = to_gptq(ascending("int4.channel.sym", 32, 32, true), {});
  EXPECT_EQ(word(gptq.members.at("qweight"), 0), 0x76543210U);
  EXPECT_EQ(word(gptq.members.at("qzeros"), 0), 0x77777777U);  // 8 less one
  const GptqLayer second = to_gptq(ascending("int4.channel.sym", 32, 32, true), {GptqVersion::v2, false});
  EXPECT_EQ(word(second.members.at("qzeros"), 0), 0x88888888U);
  const Members awq = to_awq(ascending("int4.channel.sym", 32, 32, false), {-1, false});
  EXPECT_EQ(word(awq.at("qweight"), 0), 0x75316420U);
  EXPECT_EQ(word(awq.at("qzeros"), 0), 0x88888888U);
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return text;
}

PackedTensor one_block(const std::string& spec, float scale, const std::vector<std::uint8_t>& values) {
  PackedTensor packed;
  packed.spec = QuantSpec::parse(spec);
  packed.out_features = 1;
  packed.in_features = static_cast<std::int64_t>(values.size());
  packed.scale = {scale};
  return pack(std::move(packed), values);
}

// x_i = (i - 16) / 8: codes and bytes of ggml's own quantiser.
TEST(Layouts, BlocksOfGgml) {
  const std::vector<std::uint8_t> q4 = {0, 1, 1, 2,  2,  3,  3,  4,  4,  5,  5,  6,  6,  7,  7,  8,
                                        8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 15};
  EXPECT_EQ(hex(to_gguf(one_block("int4.g32.sym", 0.25F, q4), false).bytes),
            "0034809191a2a2b3b3c4c4d5d5e6e6f7f7f8");
  const std::vector<std::uint8_t> q8 = {1,   9,   17,  25,  33,  41,  49,  57,  64,  72,  80,
                                        88,  96,  104, 112, 120, 128, 136, 144, 152, 160, 168,
                                        176, 184, 192, 199, 207, 215, 223, 231, 239, 247};
  const float scale = round_to(2.0F / 127.0F, ScaleType::float16);
  EXPECT_EQ(hex(to_gguf(one_block("int8.g32.sym", scale, q8), false).bytes).substr(0, 12),
            "08248189919"
            "9");
  const std::vector<std::uint8_t> mx = {14, 14, 13, 13, 13, 13, 12, 12, 12, 11, 11, 10, 10, 9, 9, 0,
                                        0,  0,  1,  1,  2,  2,  3,  3,  4,  4,  4,  5,  5,  5, 5, 6};
  EXPECT_EQ(hex(to_gguf(one_block("e2m1.g32.sym.e8m0", 0.5F, mx), false).bytes).substr(0, 2), "7e");
}

TEST(Layouts, TwoBitsOfGgmlTurnRound) {
  const auto values = codes(64, [](int i) { return i % 4; });
  const GgufWeight weight = to_gguf(one_block("int2.g64.sym", 1.0F, values), false);
  EXPECT_EQ(weight.type, BlockType::q2_0);
  EXPECT_EQ(hex(weight.bytes).substr(0, 8), "00bc1b1b");  // d = -1; codes 3 2 1 0
}

TEST(Layouts, HalfGridsWiden) {
  const PackedTensor half = tests::sample_weight("int2h.g64.sym", 4, 64);
  const PackedTensor wide = restate(half, QuantSpec::parse("int3.g64.sym"));
  const auto before = unpack(half);
  const auto after = unpack(wide);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i] - 4, 2 * (before[i] - 2) + 1);
  }
  EXPECT_EQ(wide.scale[0], half.scale[0] / 2.0F);
  EXPECT_EQ(dequantise(wide), dequantise(half));
}

TEST(Layouts, AHalvedScaleMustBeExact) {
  PackedTensor half = tests::sample_weight("int2h.g64.sym", 4, 64);
  half.scale[1] = 0x1p-24F * 3.0F;  // a subnormal float16
  EXPECT_THROW(restate(half, QuantSpec::parse("int3.g64.sym")), NoExactForm);
}

TEST(Layouts, SomeGlobalScalesHaveADivisor) {
  int found = 0;
  for (int i = 0; i < 1000; ++i) {
    const float multiplier = std::ldexp(1.0F + static_cast<float>(i) / 1000.0F, i % 40 - 20);
    const std::optional<float> divisor = divisor_for(multiplier);
    found += divisor ? 1 : 0;
    for (int mantissa = 8; divisor && mantissa < 16; ++mantissa) {
      const auto scale = static_cast<float>(mantissa) * 0.125F;
      EXPECT_EQ(scale / *divisor, scale * multiplier);
    }
  }
  EXPECT_GT(found, 100);
  EXPECT_LT(found, 300);
  EXPECT_EQ(divisor_for(0x1p-9F), 512.0F);
  EXPECT_EQ(multiplier_for(512.0F), 0x1p-9F);
  EXPECT_EQ(divisor_for(0x1p-127F), std::nullopt);  // its reciprocal is no normal number
}

TEST(ModulePattern, KnowsTheSignsOfSuchFiles) {
  EXPECT_TRUE(matches_beginning(".*fc2$", "blocks.3.fc2"));
  EXPECT_FALSE(matches_beginning(".*fc2$", "blocks.3.fc21"));
  EXPECT_TRUE(matches_beginning("blocks", "blocks.3"));  // a beginning, as Python's re.match
  EXPECT_TRUE(matches_beginning(".*mlp\\.(gate|up|gate_up)_proj.*", "m.mlp.gate_up_proj"));
  EXPECT_FALSE(matches_beginning(".*mlp\\.(gate|up)_proj$", "m.mlpxgate_proj"));
  EXPECT_TRUE(matches_beginning("^a+b?c*$", "aabccc"));
  EXPECT_FALSE(matches_beginning("^a+b?c*$", "bccc"));
  EXPECT_TRUE(matches_beginning(exact_pattern("a.b+c"), "a.b+c"));
  EXPECT_FALSE(matches_beginning(exact_pattern("a.b+c"), "aXb+c"));
  EXPECT_FALSE(matches_beginning(exact_pattern("a.b"), "a.bc"));
  for (const char* bad : {"[ab]", "a{3}", "(?=a)", "a**", "(a)*", "(a", "a)", "\\d", "*"}) {
    EXPECT_THROW(matches_beginning(bad, "a"), data::InputError) << bad;
  }
}

TEST(ModulePattern, HostilePatternsEndSoon) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) {
    pattern += ".*a";
  }
  EXPECT_FALSE(matches_beginning(pattern + "$", std::string(400, 'a') + "b"));
  EXPECT_THROW(matches_beginning(std::string(5000, 'a'), "a"), data::InputError);
  EXPECT_THROW(matches_beginning(std::string(2000, '('), "a"), data::InputError);
}

TEST(Json, ReadsWhatItWrites) {
  const data::Json json =
      data::Json::Object{{"a", data::Json::Array{1, -2.5, true, data::Json(), "x\n\"y\""}},
                         {"b", data::Json::Object{{"c", std::int64_t{1} << 62}}}};
  EXPECT_EQ(data::Json::parse(json.to_text(), "t"), json);
  EXPECT_EQ(*json.find("b")->find("c")->integer(), std::int64_t{1} << 62);
  EXPECT_EQ(json.find("z"), nullptr);
}

TEST(Json, RefusesWhatCouldBeReadInTwoWays) {
  const auto message = [](const std::string& text) {
    try {
      data::Json::parse(text, "file.json");
    } catch (const data::InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("file.json"));
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message(R"({"a": 1, "a": 2})"), HasSubstr("'a' occurs twice"));
  EXPECT_THAT(message(std::string(65, '[') + std::string(65, ']')), HasSubstr("deeper than 64"));
  EXPECT_THAT(message("[18446744073709551615]"), HasSubstr("more than 63 bits"));
  EXPECT_THAT(message("{\"a\": }"), HasSubstr("no JSON"));
  EXPECT_THAT(message("\"\xff\""), HasSubstr("no JSON"));
  EXPECT_THAT(message(""), HasSubstr("no JSON"));
}

}  // namespace
}  // namespace bitlaw::quant
