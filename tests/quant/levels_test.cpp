// The level of every code of every format, against the tables of the standards and a second formula.
#include "quant/levels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "quant/float_format.h"

namespace bitlaw::quant {
namespace {

std::span<const float> levels(const char* text) {
  return levels_of(QuantSpec::parse(text));
}

TEST(Levels, SmallFloatsAreThePublishedTables) {
  const std::map<std::string, std::vector<float>> positive = {
      {"e1m1", {0, 1, 2, 3}},
      {"e2m0", {0, 1, 2, 4}},
      {"e2m1", {0, .5F, 1, 1.5F, 2, 3, 4, 6}},
      {"e3m0", {0, .25F, .5F, 1, 2, 4, 8, 16}},
      {"e2m2", {0, .25F, .5F, .75F, 1, 1.25F, 1.5F, 1.75F, 2, 2.5F, 3, 3.5F, 4, 5, 6, 7}},
      {"e3m1", {0, .125F, .25F, .375F, .5F, .75F, 1, 1.5F, 2, 3, 4, 6, 8, 12, 16, 24}},
      {"e2m3",
       {0, .125F, .25F, .375F, .5F, .625F, .75F, .875F, 1, 1.125F, 1.25F, 1.375F, 1.5F, 1.625F, 1.75F, 1.875F,
        2, 2.25F, 2.5F, 2.75F, 3,   3.25F, 3.5F, 3.75F, 4, 4.5F,   5,     5.5F,   6,    6.5F,   7,     7.5F}},
      {"e3m2", {0,     .0625F, .125F, .1875F, .25F,  .3125F, .375F, .4375F, .5F,  .625F, .75F,
                .875F, 1,      1.25F, 1.5F,   1.75F, 2,      2.5F,  3,      3.5F, 4,     5,
                6,     7,      8,     10,     12,    14,     16,    20,     24,   28}}};
  for (const auto& [name, table] : positive) {
    const std::span<const float> all = levels((name + ".tensor.sym").c_str());
    ASSERT_EQ(all.size(), 2 * table.size()) << name;
    for (std::size_t i = 0; i < table.size(); ++i) {
      EXPECT_EQ(all[i], table[i]) << name << " " << i;
      EXPECT_EQ(all[i + table.size()], -table[i]) << name << " " << i;
      EXPECT_TRUE(std::signbit(all[i + table.size()]));
    }
  }
}

TEST(Levels, EightBitFloatsByAFormulaOfTheirOwn) {
  struct Format {
    const char* text;
    int mantissa_bits;
    int bias;
    int first_special;
  };
  for (const Format& format :
       {Format{"e4m3.tensor.sym", 3, 7, 0x7F}, Format{"e5m2.tensor.sym", 2, 15, 0x7C}}) {
    const std::span<const float> all = levels(format.text);
    ASSERT_EQ(all.size(), 256U);
    double value = 0;
    for (int code = 0; code < 128; ++code) {
      const auto at = static_cast<std::size_t>(code);
      if (code >= format.first_special) {
        EXPECT_TRUE(std::isnan(all[at]) && std::isnan(all[at + 128])) << code;
        continue;
      }
      EXPECT_EQ(static_cast<double>(all[at]), value) << format.text << code;
      EXPECT_EQ(static_cast<double>(all[at + 128]), -value);
      const int exponent = std::max(code >> format.mantissa_bits, 1);  // numbers go up by their last bit
      value += std::ldexp(1.0, exponent - format.bias - format.mantissa_bits);
    }
  }
  EXPECT_EQ(levels("e4m3.tensor.sym")[0x7E], 448.0F);
  EXPECT_EQ(levels("e5m2.tensor.sym")[0x7B], 57344.0F);
}

TEST(Levels, Integers) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const bool half : {false, true}) {
      const std::string text = std::string("int").append(std::to_string(bits)).append(half ? "h" : "");
      const std::span<const float> all = levels((text + ".g64.sym").c_str());
      ASSERT_EQ(all.size(), std::size_t{1} << bits);
      for (std::size_t code = 0; code < all.size(); ++code) {
        EXPECT_EQ(all[code],
                  static_cast<float>(code) - static_cast<float>(1 << (bits - 1)) + (half ? .5F : 0.F));
      }
    }
  }
  const std::span<const float> ternary = levels("ternary.g64.sym");
  ASSERT_EQ(ternary.size(), 4U);
  EXPECT_TRUE(std::isnan(ternary[0]));
  EXPECT_EQ(std::vector<float>(ternary.begin() + 1, ternary.end()), (std::vector<float>{-1, 0, 1}));
  EXPECT_TRUE(std::isnan(levels("int8.g32.sym.e8m0")[0]));
  EXPECT_EQ(levels("int8.g32.sym.e8m0")[1], -127.0F);
}

// The probability that a standard normal number is below x.
double normal_probability(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

// x with that probability, by halving.
double normal_quantile(double probability) {
  double low = -10;
  double high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (normal_probability(middle) < probability ? low : high) = middle;
  }
  return low;
}

TEST(Levels, QuantileTablesFollowFromTheNormalDistribution) {
  for (const int bits : {3, 4}) {
    const int n = 1 << bits;
    const double outer = 1.0 - (1.0 / (2 * (n - 1)) + 1.0 / (2 * n)) / 2;
    const double largest = normal_quantile(outer);
    const std::span<const float> all = quantile_levels(bits);
    ASSERT_EQ(all.size(), static_cast<std::size_t>(n));
    const auto side = [&](int step, int steps) {
      return normal_quantile(outer + (0.5 - outer) * step / steps) / largest;
    };
    for (int i = 0; i < n / 2; ++i) {
      EXPECT_NEAR(static_cast<double>(all[static_cast<std::size_t>(n - 1 - i)]), side(i, n / 2), 3e-7);
    }
    for (int i = 0; i < n / 2 - 1; ++i) {
      EXPECT_NEAR(static_cast<double>(all[static_cast<std::size_t>(i)]), -side(i, n / 2 - 1), 3e-7);
    }
    EXPECT_EQ(all[static_cast<std::size_t>(n / 2 - 1)], 0.0F);
    const std::span<const float> thresholds = quantile_thresholds(bits);
    ASSERT_EQ(thresholds.size() + 1, all.size());
    for (std::size_t i = 0; i < thresholds.size(); ++i) {
      EXPECT_NEAR(thresholds[i], (all[i] + all[i + 1]) / 2, 1e-7);
    }
  }
}

}  // namespace
}  // namespace bitlaw::quant
