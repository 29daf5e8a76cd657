// Scales, codes and levels: values by hand, closed forms, and a brute-force second search.
#include "quant/affine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "data/formats/input_error.h"
#include "data/seed.h"

namespace bitlaw::quant {
namespace {

using testing::ElementsAre;

std::vector<float> normal_weights(std::size_t count, std::uint64_t seed) {
  std::vector<float> w(count);
  data::fill_normal({seed, data::Purpose::synthetic, 0, 0}, w);
  return w;
}

AffineParameters find(const std::vector<float>& w, std::int64_t out, const char* spec,
                      ScaleSearch search = ScaleSearch::absmax) {
  return find_parameters(w, out, static_cast<std::int64_t>(w.size()) / out, QuantSpec::parse(spec), search);
}

double squared_error(std::span<const float> w, float scale, int zero_point, const QuantSpec& spec) {
  double sum = 0;
  for (const float x : w) {
    const double error = level(code_value(x, scale, zero_point, spec), scale, zero_point, spec) - double{x};
    sum += error * error;
  }
  return sum;
}

TEST(RoundTo, Float16ByHand) {
  const auto half = [](float x) { return round_to(x, ScaleType::float16); };
  EXPECT_EQ(half(1.0F), 1.0F);
  EXPECT_EQ(half(1.0F + 0x1p-11F), 1.0F);                 // a tie: to even
  EXPECT_EQ(half(1.0F + 0x1.8p-10F), 1.0F + 0x1p-9F);     // a tie: to even
  EXPECT_EQ(half(1.0F + 0x1.002p-11F), 1.0F + 0x1p-10F);  // above a tie
  EXPECT_EQ(half(0.1F), 0.0999755859375F);
  EXPECT_EQ(half(-0.1F), -0.0999755859375F);
  EXPECT_EQ(half(65504.0F), 65504.0F);
  EXPECT_EQ(half(65519.0F), 65504.0F);
  EXPECT_EQ(half(65520.0F), INFINITY);
  EXPECT_EQ(half(0x1p-24F), 0x1p-24F);  // smallest subnormal
  EXPECT_EQ(half(0x1p-25F), 0.0F);      // a tie: to even
  EXPECT_EQ(half(0x1.000002p-25F), 0x1p-24F);
  EXPECT_EQ(half(0x1.8p-24F), 0x1p-23F);  // a tie between subnormals: to even
  EXPECT_EQ(half(0.0F), 0.0F);
}

TEST(RoundTo, Bfloat16ByHand) {
  const auto brain = [](float x) { return round_to(x, ScaleType::bfloat16); };
  EXPECT_EQ(brain(1.0F + 0x1p-8F), 1.0F);
  EXPECT_EQ(brain(1.0F + 0x1.8p-7F), 1.0F + 0x1p-6F);
  EXPECT_EQ(brain(0.1F), 0.10009765625F);
  EXPECT_EQ(brain(3.4e38F), INFINITY);
  EXPECT_EQ(brain(0x1p-133F), 0x1p-133F);
  EXPECT_EQ(brain(0x1p-134F), 0.0F);
}

// Another way to the same: truncated bits plus the rounding carry.
TEST(RoundTo, Bfloat16EqualsTheCarryMethod) {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint32_t bits = data::philox({1, data::Purpose::synthetic, 0, 0}, i)[0];
    const auto x = std::bit_cast<float>(bits);
    if (!std::isfinite(x)) {
      continue;
    }
    const std::uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000U;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(round_to(x, ScaleType::bfloat16)), rounded);
  }
}

TEST(RoundTo, Float16NeverLeavesANearerNeighbour) {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const float x = static_cast<float>(data::normal({2, data::Purpose::synthetic, 0, 0}, i)) * 0x1p-12F;
    const float rounded = round_to(x, ScaleType::float16);
    const float step = std::ldexp(1.0F, std::max(std::ilogb(x), -14) - 10);
    EXPECT_LE(std::abs(rounded - x), step / 2);
    EXPECT_EQ(std::fmod(rounded, step), 0.0F);
  }
}

TEST(CodeValue, TiesGoToEvenAndEndsClamp) {
  const QuantSpec integer = QuantSpec::parse("int4.channel.sym");
  EXPECT_EQ(code_value(0.5F, 1.0F, 0, integer), 0);
  EXPECT_EQ(code_value(1.5F, 1.0F, 0, integer), 2);
  EXPECT_EQ(code_value(2.5F, 1.0F, 0, integer), 2);
  EXPECT_EQ(code_value(-0.5F, 1.0F, 0, integer), 0);
  EXPECT_EQ(code_value(-1.5F, 1.0F, 0, integer), -2);
  EXPECT_EQ(code_value(100.0F, 1.0F, 0, integer), 7);
  EXPECT_EQ(code_value(-100.0F, 1.0F, 0, integer), -8);
  const QuantSpec half = QuantSpec::parse("int2h.channel.sym");
  EXPECT_EQ(code_value(0.1F, 1.0F, 0, half), 0);    // level 0.5
  EXPECT_EQ(code_value(-0.1F, 1.0F, 0, half), -1);  // level -0.5
  EXPECT_EQ(code_value(0.0F, 1.0F, 0, half), 0);    // rint(-0.5) = 0
  EXPECT_EQ(code_value(1.0F, 1.0F, 0, half), 0);    // rint(0.5) = 0, a tie between 0.5 and 1.5
  EXPECT_EQ(code_value(9.0F, 1.0F, 0, half), 1);
  EXPECT_EQ(code_value(-9.0F, 1.0F, 0, half), -2);
  const QuantSpec asymmetric = QuantSpec::parse("int3.channel.asym");
  EXPECT_EQ(code_value(0.0F, 0.5F, -3, asymmetric), -3);
  EXPECT_EQ(code_value(1.0F, 0.5F, -3, asymmetric), -1);
}

TEST(CodeValue, DividesInsteadOfMultiplying) {
  // 0.3 / 0.12 rounds to exactly 2.5 in float32, 0.3 * (1 / 0.12) to less or more: the quotient decides.
  const QuantSpec spec = QuantSpec::parse("int4.channel.sym");
  int differing = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const float scale = static_cast<float>(data::uniform({3, data::Purpose::synthetic, 0, 0}, i)) + 0.01F;
    const float w = scale * 2.5F;
    EXPECT_EQ(code_value(w, scale, 0, spec), static_cast<int>(std::nearbyint(w / scale)));
    differing += static_cast<int>(std::nearbyint(w * (1.0F / scale)) != std::nearbyint(w / scale));
  }
  EXPECT_GT(differing, 0);  // the difference exists, so the test sees it
}

TEST(Level, IsOneFloatProduct) {
  EXPECT_EQ(level(3, 0.1F, 0, QuantSpec::parse("int4.channel.sym")), 3.0F * 0.1F);
  EXPECT_EQ(level(-2, 0.1F, 0, QuantSpec::parse("int2h.channel.sym")), -1.5F * 0.1F);
  EXPECT_EQ(level(127, 0.1F, -128, QuantSpec::parse("int8.channel.asym")), 255.0F * 0.1F);
  EXPECT_FALSE(std::signbit(level(0, 0.1F, 0, QuantSpec::parse("int4.channel.sym"))));
}

TEST(Absmax, ScalesByHand) {
  const std::vector<float> w = {-3.0F, 1.0F, 2.0F, 0.5F, 0.0F, 0.25F, -0.125F, 0.0F};
  EXPECT_THAT(find(w, 2, "int4.channel.sym.float32").scale, ElementsAre(3.0F / 7.5F, 0.25F / 7.5F));
  EXPECT_THAT(find(w, 2, "int2h.channel.sym.float32").scale, ElementsAre(2.0F, 0.25F / 1.5F));
  EXPECT_THAT(find(w, 2, "int4.g2.sym.float32").scale,
              ElementsAre(3.0F / 7.5F, 2.0F / 7.5F, 0.25F / 7.5F, 0.125F / 7.5F));
  EXPECT_THAT(find(w, 2, "int4.tensor.sym.float32").scale, ElementsAre(3.0F / 7.5F));
  EXPECT_TRUE(find(w, 2, "int4.channel.sym").zero_point.empty());
}

TEST(Absmax, AsymmetricRangesHoldZero) {
  const std::vector<float> w = {-1.0F, 3.0F, 2.0F, 4.0F, -2.0F, -8.0F};
  const AffineParameters found = find(w, 3, "int3.channel.asym.float32");
  EXPECT_THAT(found.scale, ElementsAre(4.0F / 7.0F, 4.0F / 7.0F, 8.0F / 7.0F));
  EXPECT_THAT(found.zero_point, ElementsAre(-2, -4, 3));  // rint(-4 - min / scale)
}

TEST(Absmax, ScalesAreRoundedToTheirType) {
  const std::vector<float> w = {1.0F, -0.3F};
  EXPECT_EQ(find(w, 1, "int4.channel.sym").scale[0], round_to(1.0F / 7.5F, ScaleType::float16));
  EXPECT_EQ(find(w, 1, "int4.channel.sym.bfloat16").scale[0], round_to(1.0F / 7.5F, ScaleType::bfloat16));
}

TEST(Absmax, NothingBelowTheSmallestAndAboveTheLargestNumber) {
  const std::vector<float> zeros(4, 0.0F);
  for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
    EXPECT_EQ(find(zeros, 1, "int4.channel.sym", search).scale[0], 0x1p-14F);
    EXPECT_EQ(find(zeros, 1, "int4.channel.sym.bfloat16", search).scale[0], 0x1p-126F);
    EXPECT_EQ(find(zeros, 1, "int4.channel.asym.float32", search).scale[0], 0x1p-126F);
    const std::vector<float> tiny = {1e-9F, -1e-9F};
    EXPECT_EQ(find(tiny, 1, "int4.channel.sym", search).scale[0], 0x1p-14F);
    const std::vector<float> huge = {3e38F, -3e38F};
    EXPECT_EQ(find(huge, 1, "int4.channel.sym", search).scale[0], 65504.0F);
    EXPECT_TRUE(std::isfinite(find(huge, 1, "int4.channel.asym.float32", search).scale[0]));
  }
}

TEST(Absmax, ZeroIsALevelOfAsymmetricGroups) {
  const std::vector<float> w = normal_weights(640, 5);
  const QuantSpec spec = QuantSpec::parse("int4.g64.asym");
  const AffineParameters found = find(w, 1, "int4.g64.asym");
  for (std::size_t i = 0; i < found.scale.size(); ++i) {
    const int q = code_value(0.0F, found.scale[i], found.zero_point[i], spec);
    EXPECT_EQ(level(q, found.scale[i], found.zero_point[i], spec), 0.0F);
  }
}

// All candidates again, with the reference arithmetic.
TEST(MseSearch, FindsTheBestOfItsCandidates) {
  for (const char* text :
       {"int2h.g64.sym", "int2.g64.sym", "int3.g64.asym", "int4.g64.sym.bfloat16", "int8.g64.sym.float32"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    const std::vector<float> w = normal_weights(640, 11);
    const AffineParameters found = find(w, 2, text, ScaleSearch::mse);
    for (std::size_t group = 0; group < 10; ++group) {
      const auto part = std::span(w).subspan(group * 64, 64);
      const int zero_point = spec.fields().symmetric ? 0 : found.zero_point[group];
      const double reached = squared_error(part, found.scale[group], zero_point, spec);
      for (int percent = 21; percent <= 100; ++percent) {
        std::vector<float> shrunk(part.begin(), part.end());
        const float ratio = static_cast<float>(percent) / 100.0F;
        for (float& x : shrunk) {
          x *= ratio;
        }
        const AffineParameters other = find_parameters(shrunk, 1, 64, spec, ScaleSearch::absmax);
        const int other_zero = spec.fields().symmetric ? 0 : other.zero_point[0];
        EXPECT_LE(reached, squared_error(part, other.scale[0], other_zero, spec) * (1 + 1e-5)) << text;
      }
    }
  }
}

// The best step of a uniform quantiser for N(0, 1): 0.9957 (4 levels), 0.5860 (8), 0.3352 (16); Max, 1960.
TEST(MseSearch, ReachesTheTextbookStepsForNormalWeights) {
  const std::vector<float> w = normal_weights(1 << 16, 3);
  EXPECT_NEAR(find(w, 1, "int2h.tensor.sym", ScaleSearch::mse).scale[0], 0.9957, 0.03);
  EXPECT_NEAR(find(w, 1, "int3h.tensor.sym", ScaleSearch::mse).scale[0], 0.5860, 0.02);
  EXPECT_NEAR(find(w, 1, "int4h.tensor.sym", ScaleSearch::mse).scale[0], 0.3352, 0.015);
}

TEST(MseSearch, HalvesTheErrorOfAbsmaxAtTwoBits) {
  const std::vector<float> w = normal_weights(64 * 64, 4);
  const QuantSpec spec = QuantSpec::parse("int2h.g64.sym");
  double errors[2] = {0, 0};
  for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
    const AffineParameters found = find(w, 1, "int2h.g64.sym", search);
    for (std::size_t group = 0; group < 64; ++group) {
      errors[static_cast<int>(search)] +=
          squared_error(std::span(w).subspan(group * 64, 64), found.scale[group], 0, spec);
    }
  }
  EXPECT_LT(errors[1], 0.6 * errors[0]);
}

TEST(FindParameters, RefusesWhatHasNoCode) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    for (std::size_t place = 0; place < 40; ++place) {  // in the vector part and in the tail
      std::vector<float> w(40, 1.0F);
      w[place] = bad;
      EXPECT_THROW(find(w, 1, "int4.channel.sym"), data::InputError) << bad << " at " << place;
    }
  }
  const std::vector<float> w(10, 1.0F);
  EXPECT_THROW(find_parameters(w, 2, 4, QuantSpec::parse("int4.channel.sym"), ScaleSearch::absmax),
               data::InputError);
  EXPECT_THROW(find_parameters(w, 1, 10, QuantSpec::parse("int4.g4.sym"), ScaleSearch::absmax),
               data::InputError);
}

}  // namespace
}  // namespace bitlaw::quant
