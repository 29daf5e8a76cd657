// Codes and their bitstream against the scalar formulas of fake_quant_math.h and level_quant_math.h and
// against bits one at a time: every width, group size and odd row length, on every instruction set of this
// machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "quant/affine.h"
#include "quant/kernels/fake_quant.h"
#include "quant/kernels/plan_groups.h"
#include "quant/levels.h"
#include "quant/pack.h"
#include "tests/quant/support.h"
#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kRows = 3;

const std::vector<std::string> kNumbers = {
    "int2", "int3", "int4", "int5", "int6", "int7", "int8", "int2h", "int3h", "int8h", "e1m1",   "e2m0",
    "e2m1", "e3m0", "e2m2", "e3m1", "e2m3", "e3m2", "e4m3", "e5m2",  "nf3",   "nf4",   "ternary"};

std::uint8_t code_of_one(const FakeQuantPlan& plan, float w, std::int64_t index) {
  if (plan.type == NumberType::floating) {
    const FloatGroup group = float_group(plan, index);
    return code_of(locate(w, group), group);
  }
  if (plan.type == NumberType::quantile) {
    const TableGroup group = table_group(plan, index);
    return code_of(locate(w, group), group);
  }
  const GroupConstants group = grid_group(plan, index);
  return code_of(locate(w, group), group);
}

std::vector<std::uint8_t> plain_codes(const FakeQuantPlan& plan, const std::vector<float>& w) {
  std::vector<std::uint8_t> codes;
  for (std::size_t i = 0; i < w.size(); ++i) {
    codes.push_back(code_of_one(plan, w[i], static_cast<std::int64_t>(i) / plan.group_width));
  }
  return codes;
}

// Rows of packed bits, one bit at a time.
std::vector<std::uint32_t> plain_words(const std::vector<std::uint8_t>& codes, std::size_t in, int bits) {
  const auto words = static_cast<std::size_t>(packed_words(static_cast<std::int64_t>(in), bits));
  std::vector<std::uint32_t> packed(codes.size() / in * words);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    for (int bit = 0; bit < bits; ++bit) {
      const std::size_t place = i % in * static_cast<std::size_t>(bits) + static_cast<std::size_t>(bit);
      packed[i / in * words + place / 32] |= static_cast<std::uint32_t>(codes[i] >> bit & 1) << place % 32;
    }
  }
  return packed;
}

// Weights, their scales, and what lies on the edges: levels, midpoints, beyond the range, zeros of both
// signs, subnormal and huge numbers.
struct Case {
  std::vector<float> w;
  AffineParameters found;
  FakeQuantPlan plan;
};

Case case_of(const QuantSpec& spec, std::int64_t in) {
  Case test{normal_values(kRows * in, 5), {}, fake_quant_plan(spec, in)};
  test.found = find_parameters(test.w, kRows, in, spec, ScaleSearch::absmax);
  const std::span<const float> levels = levels_of(spec);
  const float odd[] = {0.0F, -0.0F, 1e-40F, -1e-40F, 3e38F, -3e38F};
  for (std::size_t i = 0; i < test.w.size(); i += 3) {
    const float scale = test.found.scale[i / static_cast<std::size_t>(test.plan.group_width)];
    const std::size_t code = i % (levels.size() - 1);
    const float middle = (levels[code] + levels[code + 1]) / 2;
    test.w[i] = i % 2 == 0 && !std::isnan(middle) ? middle * scale : test.w[i] * 2.5F;
    test.w[i] = i % 7 == 0 ? odd[i % 6] : test.w[i];
  }
  test.plan.scale = test.found.scale.data();
  test.plan.scale_negative = test.found.scale_negative.empty() ? nullptr : test.found.scale_negative.data();
  test.plan.zero_point = test.found.zero_point.empty() ? nullptr : test.found.zero_point.data();
  test.plan.zero_point_real =
      test.found.zero_point_real.empty() ? nullptr : test.found.zero_point_real.data();
  return test;
}

void expect_plain_codes(const QuantSpec& spec, std::int64_t in) {
  SCOPED_TRACE(spec.to_string() + ", rows of " + std::to_string(in));
  const Case test = case_of(spec, in);
  const std::vector<std::uint8_t> wanted = plain_codes(test.plan, test.w);
  const auto length = static_cast<std::size_t>(in);
  const auto words = static_cast<std::size_t>(packed_words(in, spec.bits()));
  const std::vector<std::uint32_t> wanted_words = plain_words(wanted, length, spec.bits());
  for_each_target([&] {
    std::vector<std::uint8_t> codes(test.w.size());
    ASSERT_TRUE(make_codes(test.plan, test.w.data(), codes.data(), {0, kRows}));
    ASSERT_EQ(codes, wanted);
    std::vector<std::uint32_t> packed(wanted_words.size(), 0xDEADBEEF);
    for (std::size_t row = 0; row < kRows; ++row) {
      pack_row(std::span(codes).subspan(row * length, length), spec.bits(),
               std::span(packed).subspan(row * words, words));
    }
    ASSERT_EQ(packed, wanted_words);
  });
}

TEST(MakeCodes, EveryNumberAndGroupSizeEqualsTheScalarFormulas) {
  for (const std::string& number : kNumbers) {
    for (const std::int64_t width : {1, 7, 16, 20, 32, 64, 128}) {
      for (const std::int64_t groups : {1, 3}) {
        const std::string group = std::string(number).append(".g").append(std::to_string(width));
        expect_plain_codes(QuantSpec::parse(group + ".sym"), width * groups);
        if (number != "ternary" && !number.ends_with('h')) {
          expect_plain_codes(QuantSpec::parse(group + ".asym"), width * groups);
        }
        if (number.starts_with("int") && !number.ends_with('h')) {
          expect_plain_codes(QuantSpec::parse(group + ".asym.float16.zp_float16"), width * groups);
        }
      }
    }
  }
}

TEST(MakeCodes, EveryRowLengthByChannel) {
  for (const char* text : {"int2.channel.sym", "int3.channel.sym", "int4.channel.asym", "int5.channel.sym",
                           "int6.channel.sym", "int7.channel.asym", "int8.channel.sym", "e2m1.channel.sym"}) {
    for (std::int64_t in = 1; in < 150; in += in < 40 ? 1 : 7) {
      expect_plain_codes(QuantSpec::parse(text), in);
    }
  }
}

TEST(MakeCodes, BlockFormats) {
  for (const char* text : {"e2m1.g32.sym.e8m0", "e2m3.g32.sym.e8m0", "e3m2.g32.sym.e8m0", "e4m3.g32.sym.e8m0",
                           "e5m2.g32.sym.e8m0", "int8.g32.sym.e8m0", "e2m1.g16.sym.e4m3"}) {
    expect_plain_codes(QuantSpec::parse(text), 32);
    expect_plain_codes(QuantSpec::parse(text), 160);
  }
}

// Every number of every float format, every midpoint, and the next float32 on both sides of both.
TEST(MakeCodes, EveryRoundingOfTheFloatFormats) {
  const float one = 1.0F;
  for (const std::string_view format : data::EnumNames<FloatFormat>::names) {
    const QuantSpec spec = QuantSpec::parse(std::string(format) + ".tensor.sym.float32");
    std::vector<float> numbers;
    for (const float level : levels_of(spec)) {
      if (!std::isnan(level)) {
        numbers.push_back(level);
      }
    }
    std::sort(numbers.begin(), numbers.end());
    std::vector<float> w = {-0.0F, 3e38F, -3e38F};
    for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
      for (const float x : {numbers[i], numbers[i] / 2 + numbers[i + 1] / 2}) {
        w.insert(w.end(), {x, std::nextafter(x, -INFINITY), std::nextafter(x, INFINITY)});
      }
    }
    FakeQuantPlan plan = fake_quant_plan(spec, static_cast<std::int64_t>(w.size()));
    plan.scale = &one;
    for_each_target([&] {
      std::vector<std::uint8_t> codes(w.size());
      ASSERT_TRUE(make_codes(plan, w.data(), codes.data(), {0, 1}));
      EXPECT_EQ(codes, plain_codes(plan, w)) << format;
    });
  }
}

TEST(MakeCodes, OneElementThatIsNotFiniteIsSeenAnywhere) {
  for (const char* text : {"int4.channel.sym", "e2m1.channel.sym", "nf4.channel.sym"}) {
    Case test = case_of(QuantSpec::parse(text), 37);
    for_each_target([&] {
      std::vector<std::uint8_t> codes(test.w.size());
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                              -std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
        for (std::size_t i = 0; i < test.w.size(); ++i) {
          std::vector<float> w = test.w;
          w[i] = bad;
          EXPECT_FALSE(make_codes(test.plan, w.data(), codes.data(), {0, kRows})) << text << " " << i;
        }
      }
      EXPECT_TRUE(make_codes(test.plan, test.w.data(), codes.data(), {1, kRows}));  // rows of the range
    });
  }
}

}  // namespace
}  // namespace bitlaw::quant
