// HQQ against the authors' own code (group hqq of the golden file), and its layer function.
#include "quant/methods/hqq.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "data/formats/input_error.h"
#include "quant/methods/rtn.h"
#include "tests/quant/tensors.h"
#include "tests/support/golden_file.h"

namespace bitlaw::quant {
namespace {

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

TEST(HqqGolden, GivesTheAuthorsCodesAndZeroPoints) {
  const tests::GoldenFile file("quant.h5");
  const at::Tensor weight = file.tensor("weight").reshape({-1, 64});
  const std::vector<std::string> names = file.names("hqq");
  ASSERT_EQ(names.size(), 3U);
  for (const std::string& name : names) {
    const HqqSolution solution = solve_hqq(weight, std::stoi(name.substr(1)));
    const auto golden = [&](const std::string& what) { return file.tensor("hqq/" + name + "/" + what); };
    EXPECT_LT(largest_difference(solution.scale_inverse, golden("scale_inverse")), 3e-7) << name;
    EXPECT_LT(largest_difference(solution.zero, golden("zero")), 3e-6) << name;
    EXPECT_EQ(solution.codes.ne(golden("codes")).sum().item<std::int64_t>(), 0) << name;
  }
}

TEST(Hqq, ErrorFallsUntilTheIterationThatStopsIt) {
  const at::Tensor weight = normal_tensor({96, 64}, 11);
  for (const int bits : {2, 3, 4, 8}) {
    const std::vector<double> error = solve_hqq(weight, bits).error;
    ASSERT_GE(error.size(), 2U);
    for (std::size_t i = 1; i + 1 < error.size(); ++i) {
      EXPECT_LT(error[i], error[i - 1]) << bits;
    }
    EXPECT_TRUE(error.size() == 20 || error.back() >= error[error.size() - 2]) << bits;
  }
}

TEST(Hqq, StoresHalfPrecisionZeroPointsAndNearestCodes) {
  const at::Tensor weight = normal_tensor({6, 128}, 12) + 0.3;
  const QuantSpec spec = QuantSpec::parse("int3.g64.asym.float16.zp_float16");
  const LayerCodes codes = hqq(weight, spec);
  EXPECT_TRUE(same_bits(codes.zero_point, codes.zero_point.to(at::kHalf).to(at::kFloat)));
  EXPECT_TRUE(same_bits(codes.scale, codes.scale.to(at::kHalf).to(at::kFloat)));
  EXPECT_EQ(codes.scale.sizes(), at::IntArrayRef({6, 2}));
  EXPECT_FALSE(at::equal(codes.zero_point, codes.zero_point.round()));  // real numbers
  // Every other code of the grid is at least as far.
  const at::Tensor w = weight.view({6, 2, 64});
  const at::Tensor scale = codes.scale.unsqueeze(2);
  const at::Tensor zero = codes.zero_point.unsqueeze(2);
  const at::Tensor error = (dequantise(codes, spec).view({6, 2, 64}) - w).abs();
  for (int q = -4; q <= 3; ++q) {
    const at::Tensor other = ((q - zero) * scale - w).abs();
    EXPECT_TRUE((error <= other + 1e-6 * scale).all().item<bool>()) << q;
  }
}

TEST(Hqq, GainsOnTheNormThatItMinimises) {
  at::Tensor weight = normal_tensor({48, 64}, 13);
  weight.select(1, 5).mul_(6.0);  // outliers: what the norm forgives
  const QuantSpec spec = QuantSpec::parse("int3.g64.asym.float16.zp_float16");
  const QuantSpec plain = QuantSpec::parse("int3.g64.asym");
  const auto norm = [&](const at::Tensor& values) {
    return (values - weight).abs().pow(0.7).sum().item<double>();
  };
  EXPECT_LT(norm(dequantise(hqq(weight, spec), spec)),
            norm(dequantise(round_to_nearest(weight, plain, {}), plain)));
}

TEST(Hqq, AGroupOfOneValueIsExact) {
  const QuantSpec spec = QuantSpec::parse("int2.g64.asym.float16.zp_float16");
  const at::Tensor weight = at::zeros({2, 64});
  EXPECT_TRUE(at::equal(dequantise(hqq(weight, spec), spec), weight));
}

// Groups far from zero, as wide as their distance allows float16 to say and much narrower.
TEST(Hqq, IsNoWorseThanNearestWhereAGroupIsNearlyConstant) {
  for (const int bits : {2, 3, 4, 8}) {
    const std::string width = "int" + std::to_string(bits) + ".g64.asym";
    const QuantSpec spec = QuantSpec::parse(width + ".float16.zp_float16");
    const QuantSpec plain = QuantSpec::parse(width);
    for (const double centre : {0.5, -0.5, 0.05, 3.0}) {
      for (const double spread : {0.0, 1e-7, 1e-6, 1e-5, 1e-4}) {
        const at::Tensor weight = normal_tensor({4, 64}, 15) * spread + centre;
        const auto error = [&](const at::Tensor& values) {
          return (values - weight).abs().mean().item<double>();
        };
        const double half_precision = 0x1p-12 * std::abs(centre);  // nearest may be lucky with its scale
        EXPECT_LE(error(dequantise(hqq(weight, spec), spec)),
                  error(dequantise(round_to_nearest(weight, plain, {}), plain)) + half_precision)
            << spec.to_string() << " " << centre << " +- " << spread;
      }
    }
  }
}

TEST(Hqq, RefusesSpecsThatCannotHoldItsZeroPoints) {
  const at::Tensor weight = normal_tensor({4, 64}, 14);
  for (const std::string text : {"int4.g64.sym", "int4.g64.asym", "int4.tensor.asym.float16.zp_float16"}) {
    try {
      hqq(weight, QuantSpec::parse(text));
      FAIL() << text;
    } catch (const data::InputError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("hqq with spec " + text));
      EXPECT_THAT(error.what(), testing::AnyOf(testing::HasSubstr("zero_point_dtype: float16"),
                                               testing::HasSubstr("use strategy group or channel")));
    }
  }
}

}  // namespace
}  // namespace bitlaw::quant
