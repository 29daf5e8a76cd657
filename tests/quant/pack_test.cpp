// The dense bitstream against golden words and against a bit-by-bit second implementation.
#include "quant/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "data/formats/input_error.h"
#include "data/seed.h"
#include "quant/affine.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using data::InputError;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using Codes = std::vector<std::uint8_t>;
using Words = std::vector<std::uint32_t>;

Codes codes_by(std::size_t count, const std::function<std::size_t(std::size_t)>& code) {
  Codes codes(count);
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = static_cast<std::uint8_t>(code(i));
  }
  return codes;
}

Words packed(const Codes& codes, int bits) {
  Words words(static_cast<std::size_t>(packed_words(static_cast<std::int64_t>(codes.size()), bits)),
              0xDEADBEEF);
  pack_row(codes, bits, words);
  return words;
}

// Bits one at a time.
Words packed_slowly(const Codes& codes, int bits) {
  Words words(static_cast<std::size_t>(packed_words(static_cast<std::int64_t>(codes.size()), bits)), 0);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    for (std::size_t bit = 0; bit < static_cast<std::size_t>(bits); ++bit) {
      const std::size_t place = i * static_cast<std::size_t>(bits) + bit;
      words[place / 32] |= static_cast<std::uint32_t>(codes[i] >> bit & 1) << place % 32;
    }
  }
  return words;
}

Codes random_codes(std::size_t count, int bits, std::uint64_t seed) {
  return codes_by(count, [&](std::size_t i) {
    return data::philox({seed, data::Purpose::synthetic, 0, 0}, i)[0] & ((1U << bits) - 1);
  });
}

TEST(PackRow, GoldenWordsOfCompressedTensors) {
  const Codes four = codes_by(16, [](std::size_t i) { return i; });
  EXPECT_THAT(packed(four, 4), ElementsAre(0x76543210, 0xfedcba98));
  const Codes three = codes_by(32, [](std::size_t i) { return i % 8; });
  EXPECT_THAT(packed(three, 3), ElementsAre(0x88fac688, 0xc688fac6, 0xfac688fa));
  const Codes five = codes_by(32, [](std::size_t i) { return i; });
  EXPECT_THAT(packed(five, 5), ElementsAre(0x8a418820, 0xc5a92839, 0xca307b9a, 0x38bdab49, 0xffbbcdeb));
  const Codes six = codes_by(32, [](std::size_t i) { return 2 * i % 64; });
  EXPECT_THAT(packed(six, 6),
              ElementsAre(0x88184080, 0x449038c2, 0x79c69859, 0xa89a48a0, 0x4cb0baca, 0xfbceb8db));
}

TEST(PackRow, EveryWidthAndLengthEqualsBitByBitAndComesBack) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (std::size_t length = 1; length <= 100; ++length) {
      const Codes codes = random_codes(length, bits, length * 10 + static_cast<std::size_t>(bits));
      const Words words = packed(codes, bits);
      EXPECT_EQ(words, packed_slowly(codes, bits)) << bits << " bits, " << length << " codes";
      Codes back(length);
      unpack_row(words, bits, back);
      EXPECT_EQ(back, codes);
    }
  }
}

TEST(PackedWords, IsTheCeilingOfTheBits) {
  EXPECT_EQ(packed_words(1, 2), 1);
  EXPECT_EQ(packed_words(16, 2), 1);
  EXPECT_EQ(packed_words(17, 2), 2);
  EXPECT_EQ(packed_words(11, 3), 2);
  EXPECT_EQ(packed_words(std::int64_t{1} << 31, 8), std::int64_t{1} << 29);
}

TEST(PackedTensor, RowsArePaddedToWords) {
  const Codes codes = random_codes(3 * 7, 5, 1);
  const std::vector<float> scale(3, 0.5F);
  const PackedTensor tensor = pack(QuantSpec::parse("int5.channel.sym"), 3, 7, codes, scale, {});
  EXPECT_EQ(tensor.codes.size(), 3U * 2U);
  EXPECT_EQ(unpack(tensor), codes);
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_EQ(Words(tensor.codes.begin() + static_cast<std::ptrdiff_t>(row * 2),
                    tensor.codes.begin() + static_cast<std::ptrdiff_t>(row * 2 + 2)),
              packed_slowly(Codes(codes.begin() + static_cast<std::ptrdiff_t>(row * 7),
                                  codes.begin() + static_cast<std::ptrdiff_t>(row * 7 + 7)),
                            5));
  }
}

// By the formula of the header, computed by hand.
TEST(Dequantise, ValuesByHand) {
  const PackedTensor half =
      pack(QuantSpec::parse("int2h.g2.sym"), 1, 4, Codes{0, 1, 2, 3}, std::vector<float>{2.0F, 0.25F}, {});
  EXPECT_THAT(dequantise(half), ElementsAre(-3.0F, -1.0F, 0.125F, 0.375F));
  const PackedTensor asymmetric = pack(QuantSpec::parse("int3.channel.asym"), 2, 3, Codes{0, 4, 7, 0, 1, 7},
                                       std::vector<float>{0.5F, 2.0F}, std::vector<std::int8_t>{-4, 3});
  EXPECT_THAT(dequantise(asymmetric), ElementsAre(0.0F, 2.0F, 3.5F, -14.0F, -12.0F, 0.0F));
  const PackedTensor shared = pack(QuantSpec::parse("int8.tensor.sym"), 2, 2, Codes{0, 128, 129, 255},
                                   std::vector<float>{0.125F}, {});
  EXPECT_THAT(dequantise(shared), ElementsAre(-16.0F, 0.0F, 0.125F, 15.875F));
}

TEST(Dequantise, EqualsTheReferenceLevelBitForBit) {
  for (const char* text :
       {"int2h.g8.sym", "int3.g8.asym", "int4.channel.sym", "int6h.g8.sym", "int8.g8.asym"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    const auto groups = static_cast<std::size_t>(spec.groups(24));
    const Codes codes = random_codes(5 * 24, spec.bits(), 7);
    std::vector<float> scale(5 * groups);
    data::fill_uniform({3, data::Purpose::synthetic, 0, 0}, scale);
    std::vector<std::int8_t> zero_point;
    for (std::size_t i = 0; i < scale.size(); ++i) {
      scale[i] = round_to(scale[i] + 0.01F, ScaleType::float16);
      if (!spec.fields().symmetric) {
        zero_point.push_back(static_cast<std::int8_t>(spec.q_min() + static_cast<int>(i) % 7));
      }
    }
    const auto values = dequantise(pack(spec, 5, 24, codes, scale, zero_point));
    const std::size_t width = 24 / groups;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int zero = zero_point.empty() ? 0 : zero_point[i / width];
      ASSERT_EQ(values[i], level(codes[i] + spec.q_min(), scale[i / width], zero, spec)) << text << " " << i;
    }
  }
}

TEST(Pack, RefusesWhatDoesNotFit) {
  const QuantSpec symmetric = QuantSpec::parse("int3.channel.sym");
  const QuantSpec asymmetric = QuantSpec::parse("int3.channel.asym");
  const Codes codes(8, 1);
  const std::vector<float> scale(2, 1.0F);
  const std::vector<std::int8_t> zeros(2, 0);
  const auto fails = [&](const QuantSpec& spec, std::int64_t out, std::int64_t in, const Codes& c,
                         const std::vector<float>& s, const std::vector<std::int8_t>& z) {
    return message_of([&] { pack(spec, out, in, c, s, z); });
  };
  EXPECT_EQ(fails(symmetric, 2, 4, codes, scale, {}), "");
  EXPECT_EQ(fails(asymmetric, 2, 4, codes, scale, zeros), "");
  EXPECT_THAT(fails(symmetric, 2, 5, codes, scale, {}), HasSubstr("8 codes instead of 10"));
  EXPECT_THAT(fails(symmetric, 0, 4, {}, {}, {}), HasSubstr("shape [0, 4]"));
  EXPECT_THAT(fails(symmetric, 2, 4, codes, {1.0F}, {}), HasSubstr("1 scales instead of 2"));
  EXPECT_THAT(fails(symmetric, 2, 4, codes, scale, zeros), HasSubstr("2 zero points instead of 0"));
  EXPECT_THAT(fails(asymmetric, 2, 4, codes, scale, {}), HasSubstr("0 zero points instead of 2"));
  EXPECT_THAT(fails(asymmetric, 2, 4, codes, scale, {0, 4}), HasSubstr("zero point 4"));
  EXPECT_THAT(fails(symmetric, 2, 4, Codes(8, 8), scale, {}), HasSubstr("code 8"));
  EXPECT_THAT(fails(QuantSpec::parse("int3.g3.sym"), 2, 4, codes, scale, {}), HasSubstr("does not divide"));
  EXPECT_THAT(fails(QuantSpec::parse("int3.token.sym"), 2, 4, codes, scale, {}), HasSubstr("no tokens"));
}

TEST(Unpack, RefusesATensorThatWasTamperedWith) {
  PackedTensor tensor =
      pack(QuantSpec::parse("int4.channel.sym"), 2, 9, Codes(18, 3), std::vector<float>(2, 1), {});
  tensor.codes.pop_back();
  EXPECT_THROW(unpack(tensor), InputError);
  EXPECT_THROW(dequantise(tensor), InputError);
}

}  // namespace
}  // namespace bitlaw::quant
