// Scales of groups: the rules of each format by hand, searches against trying everything.
#include "quant/scale_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/levels.h"
#include "tests/quant/support.h"

namespace bitlaw::quant {
namespace {

GroupParameters find(const std::vector<float>& w, const char* text, ScaleSearch search = ScaleSearch::absmax,
                     float global = 1.0F) {
  return find_group(w, QuantSpec::parse(text), search, global);
}

TEST(ScaleSearch, AbsmaxByHand) {
  const std::vector<float> w = {0.5F, -3.0F, 1.5F, 0.0F};
  EXPECT_EQ(find(w, "e2m1.g4.sym").scale, 0.5F);
  EXPECT_EQ(find(w, "e2m1.g4.asym").scale, 0.25F);
  EXPECT_EQ(find(w, "e2m1.g4.asym").scale_negative, 0.5F);
  EXPECT_EQ(find(w, "e3m0.g4.sym.float32").scale, 3.0F / 16);
  EXPECT_EQ(find(w, "e4m3.g4.sym.float32").scale, 3.0F / 448);
  EXPECT_EQ(find(w, "nf4.g4.sym").scale, 3.0F);
  EXPECT_EQ(find(w, "nf3.g4.asym").scale, 1.5F);
  EXPECT_EQ(find(w, "nf3.g4.asym").scale_negative, 3.0F);
  EXPECT_EQ(find(w, "ternary.g4.sym").scale, 1.25F);
  EXPECT_EQ(find(w, "int4.g4.asym.float32").scale, 4.5F / 15);
  EXPECT_EQ(find(w, "int4.g4.asym.float32").zero_point, 2.0F);  // -8 + 3 / 0.3
  EXPECT_NEAR(find(w, "int2.g4.asym.float32.zp_float16").zero_point, -2 + 3.0 / 1.5, 1e-6);
  const std::vector<float> skew = {-0.4F, 1.0F};
  const GroupParameters real = find(skew, "int2.g2.asym.float32.zp_float16");
  EXPECT_EQ(real.zero_point, round_to(-2 + 0.4F / real.scale, ScaleType::float16));
  EXPECT_NE(real.zero_point, std::nearbyint(real.zero_point));
}

TEST(ScaleSearch, LsqAndLsqPlusByHand) {
  const std::vector<float> w = {0.5F, -3.0F, 1.5F, 0.0F};  // mean |w| 1.25, mean -0.25, variance 2.8125
  const auto lsq = [&](const char* text) { return find(w, text, ScaleSearch::lsq).scale; };
  const auto plus = [&](const char* text) { return find(w, text, ScaleSearch::lsq_plus).scale; };
  EXPECT_FLOAT_EQ(lsq("int4.g4.sym.float32"), static_cast<float>(2.5 / std::sqrt(7.0)));
  EXPECT_FLOAT_EQ(lsq("int2.g4.sym.float32"), 2.5F);
  EXPECT_FLOAT_EQ(lsq("int2h.g4.sym.float32"), static_cast<float>(2.5 / std::sqrt(1.5)));
  const double reach = 0.25 + 3.0 * std::sqrt(2.8125);  // |mean - 3 sigma|
  EXPECT_FLOAT_EQ(plus("int4.g4.sym.float32"), static_cast<float>(reach / 8));
  EXPECT_FLOAT_EQ(plus("int8.g4.sym.float32"), static_cast<float>(reach / 128));
  EXPECT_EQ(plus("int4.g4.sym"), round_to(static_cast<float>(reach / 8), ScaleType::float16));
  EXPECT_EQ(find(std::vector<float>(4, 0.0F), "int4.g4.sym", ScaleSearch::lsq).scale, 0x1p-14F);
  const std::vector<float> up = {-0.5F, 3.0F, -1.5F, 0.0F};  // |mean + 3 sigma| is the larger one
  EXPECT_FLOAT_EQ(find(up, "int4.g4.sym.float32", ScaleSearch::lsq_plus).scale,
                  static_cast<float>(reach / 8));
}

TEST(ScaleSearch, ZerosGetTheSmallestScale) {
  const std::vector<float> zeros(32, 0.0F);
  for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
    EXPECT_EQ(find(zeros, "e2m1.g32.sym.e8m0", search).scale, 0x1p-127F);
    EXPECT_EQ(find(zeros, "e2m1.g16.sym.e4m3", search).scale, 0x1p-9F);
    EXPECT_EQ(find(zeros, "nf4.g32.asym", search).scale, 0x1p-14F);
    EXPECT_EQ(find(zeros, "nf4.g32.asym", search).scale_negative, 0x1p-14F);
    EXPECT_EQ(find(zeros, "ternary.g32.sym", search).scale, 0x1p-14F);
  }
}

TEST(ScaleSearch, NaNAndInfinityAreErrors) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
    for (const char* text : {"e2m1.g32.sym.e8m0", "nf4.g32.asym", "ternary.g32.sym", "e4m3.g32.sym"}) {
      std::vector<float> w(32, 1.0F);
      w[7] = bad;
      EXPECT_THROW(find(w, text), data::InputError) << text;
    }
  }
}

// Squared error in double through the level table: nearest level of the sign's own scale.
double error_of(const std::vector<float>& w, const QuantSpec& spec, const GroupParameters& group,
                float global) {
  double total = 0;
  for (const float x : w) {
    double least = INFINITY;
    for (const float level : levels_of(spec)) {
      const bool other = spec.has_negative_scale() && std::signbit(level);
      const double scale =
          static_cast<double>(other ? group.scale_negative : group.scale) * static_cast<double>(global);
      const double error = (static_cast<double>(level) - static_cast<double>(group.zero_point)) * scale -
                           static_cast<double>(x);
      least = std::isnan(level) ? least : std::min(least, error * error);
    }
    total += least;
  }
  return total;
}

TEST(ScaleSearch, MseIsNeverWorseThanAbsmaxAndMostlyBetter) {
  for (const char* text : {"e1m1.g64.sym", "e2m0.g64.sym", "e2m1.g64.sym", "e3m0.g64.sym", "e2m1.g64.asym",
                           "nf3.g64.sym", "nf4.g64.asym", "ternary.g64.sym",
                           "int3.g64.asym.float16.zp_float16", "e2m1.g32.sym.e8m0", "int8.g32.sym.e8m0"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    int better = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const std::vector<float> w = normal_values(spec.fields().group_size, seed);
      const double absmax = error_of(w, spec, find_group(w, spec, ScaleSearch::absmax), 1.0F);
      const double mse = error_of(w, spec, find_group(w, spec, ScaleSearch::mse), 1.0F);
      EXPECT_LE(mse, absmax * 1.000001) << text;
      better += mse < absmax ? 1 : 0;
    }
    EXPECT_GT(better, std::string(text).starts_with("int8") ? -1 : 2) << text;
  }
}

TEST(ScaleSearch, TernaryFindsTheBestOfAllScales) {
  const QuantSpec spec = QuantSpec::parse("ternary.g64.sym.float32");
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const std::vector<float> w = normal_values(64, seed);
    const double found = error_of(w, spec, find_group(w, spec, ScaleSearch::mse), 1.0F);
    for (int i = 1; i < 4000; ++i) {
      GroupParameters other;
      other.scale = static_cast<float>(i) * 0.001F;
      EXPECT_GE(error_of(w, spec, other, 1.0F), found * 0.999999);
    }
  }
}

TEST(ScaleSearch, TwoLevels) {
  const QuantSpec spec = QuantSpec::parse("e2m1.g16.sym.e4m3");
  for (const float amax : {1e-20F, 0.3F, 2688.0F, 2689.0F, 1.0F, 5e30F}) {
    const float global = global_scale_of_amax(amax, spec);
    int exponent = 0;
    EXPECT_EQ(std::frexp(global, &exponent), 0.5F) << amax;  // a power of two, so its reciprocal is exact
    EXPECT_LE(static_cast<double>(amax) / 6 / static_cast<double>(global), 448.0) << amax;
    EXPECT_GT(static_cast<double>(amax) / 6 / static_cast<double>(global), 224.0) << amax;
  }
  EXPECT_EQ(global_scale_of_amax(2688.0F, spec), 1.0F);
  EXPECT_EQ(global_scale_of_amax(2689.0F, spec), 2.0F);
  EXPECT_EQ(global_scale_of_amax(0.0F, spec), 1.0F);
  const std::vector<float> w = {0.7F, -0.9F};
  EXPECT_EQ(find(w, "e2m1.g2.sym.e4m3", ScaleSearch::absmax, 0.25F).scale,
            0.625F);  // 0.6 between 0.5625 and 0.625
}

TEST(ScaleSearch, BlocksShareTheScaleOfTheirRowsAndColumns) {
  std::vector<float> w(4 * 6, 0.5F);
  w[0 * 6 + 5] = 6.0F;    // block row 0, block column 1
  w[3 * 6 + 1] = -12.0F;  // block row 1, block column 0
  const AffineParameters found =
      find_parameters(w, 4, 6, QuantSpec::parse("e2m1.b2x3.sym.float32"), ScaleSearch::absmax);
  EXPECT_EQ(found.scale, (std::vector<float>{0.5F / 6, 1.0F, 2.0F, 0.5F / 6}));
}

TEST(BlockFormat, ExponentsOfPowersAndTheirNeighbours) {
  const QuantSpec fp4 = QuantSpec::parse("e2m1.g32.sym.e8m0");
  EXPECT_EQ(mx_scale(4.0F, fp4), 1.0F);
  EXPECT_EQ(mx_scale(std::nextafter(4.0F, 0.0F), fp4), 0.5F);
  EXPECT_EQ(mx_scale(7.99F, fp4), 1.0F);
  EXPECT_EQ(mx_scale(1e-40F, fp4), 0x1p-127F);
  EXPECT_EQ(mx_scale(std::numeric_limits<float>::max(), fp4), 0x1p125F);
  EXPECT_EQ(mx_scale(448.0F, QuantSpec::parse("e4m3.g32.sym.e8m0")), 1.0F);
  EXPECT_EQ(mx_scale(1.0F, QuantSpec::parse("e5m2.g32.sym.e8m0")), 0x1p-15F);
  EXPECT_EQ(mx_scale(1.0F, QuantSpec::parse("int8.g32.sym.e8m0")), 0x1p-6F);
  EXPECT_EQ(mx_scale_of_compressed_tensors(7.0F, fp4), 2.0F);
  EXPECT_EQ(mx_scale_of_compressed_tensors(std::nextafter(7.0F, 0.0F), fp4), 1.0F);
  const QuantSpec fp6 = QuantSpec::parse("e2m3.g32.sym.e8m0");
  EXPECT_EQ(mx_scale_of_compressed_tensors(7.75F, fp6), 2.0F);
  EXPECT_EQ(mx_scale_of_compressed_tensors(7.7F, fp6), 1.0F);
  EXPECT_THROW(mx_scale_of_compressed_tensors(1.0F, QuantSpec::parse("e3m2.g32.sym.e8m0")), data::InputError);
}

TEST(BlockFormat, PowersOfTwoAsBytes) {
  for (int byte = 0; byte < 255; ++byte) {
    const float value = e8m0_value(static_cast<std::uint8_t>(byte));
    EXPECT_EQ(static_cast<double>(value), std::ldexp(1.0, byte - 127));
    EXPECT_EQ(e8m0_byte(value), byte);
    EXPECT_EQ(round_to(value, ScaleType::e8m0), value);
    EXPECT_EQ(round_to(value * 1.49F, ScaleType::e8m0), value);
  }
  EXPECT_TRUE(std::isnan(e8m0_value(255)));
  EXPECT_EQ(round_to(3.0F, ScaleType::e8m0), 4.0F);
  EXPECT_EQ(round_to(0x1.8p127F, ScaleType::e8m0), 0x1p127F);
}

}  // namespace
}  // namespace bitlaw::quant
