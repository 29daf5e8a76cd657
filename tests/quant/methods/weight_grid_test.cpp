// Grids of groups: scales by hand, nearest levels, the search of a range against every candidate, and which
// methods a configuration may ask for.
#include "quant/methods/weight_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/methods/method_plan.h"
#include "tests/quant/support.h"

namespace bitlaw::quant {
namespace {

TEST(WeightGrid, ScalesByHand) {
  const std::vector<float> w = {-1.0F, 0.5F, 2.0F};
  const GroupParameters symmetric = WeightGrid(QuantSpec::parse("int4.channel.sym.float32")).find(w, {});
  EXPECT_EQ(symmetric.scale, 2.0F / 7.5F);
  EXPECT_EQ(symmetric.zero_point, 0.0F);
  const GroupParameters integer = WeightGrid(QuantSpec::parse("int2.channel.asym.float32")).find(w, {});
  EXPECT_EQ(integer.scale, 1.0F);
  EXPECT_EQ(integer.zero_point, -1.0F);  // -2 + 1: -1 is the lowest code
  const WeightGrid real(QuantSpec::parse("int4.channel.asym.float32.zp_float16"));
  const GroupParameters half = real.of_range(-0.95F, 2.05F);
  EXPECT_EQ(half.scale, 0.2F);
  EXPECT_NEAR(half.zero_point, -8.0F + 4.75F, 2e-3F);
  EXPECT_EQ(half.zero_point, static_cast<float>(std::nearbyint(half.zero_point * 512.0F)) / 512.0F);
}

TEST(WeightGrid, ZeroIsInsideTheRangeOfPositiveWeights) {
  const WeightGrid grid(QuantSpec::parse("int3.channel.asym.float32"));
  const GroupParameters group = grid.find(std::vector<float>{0.5F, 0.7F}, {});
  EXPECT_EQ(group.zero_point, -4.0F);
  EXPECT_EQ(grid.value(grid.code(0.0F, group), group), 0.0F);
}

TEST(WeightGrid, CodesAreNearest) {
  const std::vector<float> w = normal_values(200, 5);
  for (const QuantSpec& spec : weight_specs()) {
    const WeightGrid grid(spec);
    const GroupParameters group = grid.find(w, {});
    for (const float x : w) {
      const float error = std::abs(grid.value(grid.code(x, group), group) - x);
      for (int code = 0; code < 1 << spec.bits(); ++code) {
        const float other = std::abs(grid.value(static_cast<std::uint8_t>(code), group) - x);
        ASSERT_LE(error, other * 1.00001F + 1e-6F * group.scale) << spec.to_string() << " " << x;
      }
    }
  }
}

TEST(WeightGrid, SearchTakesTheBestOfEightyRanges) {
  const std::vector<float> w = normal_values(64, 6);
  for (const double power : {2.0, 2.4}) {
    for (const std::string text : {"int2h.channel.sym.float32", "int3.channel.asym.float32"}) {
      const WeightGrid grid(QuantSpec::parse(text));
      const auto error = [&](const GroupParameters& group) {
        double sum = 0.0;
        for (const float x : w) {
          sum += std::pow(std::abs(static_cast<double>(grid.value(grid.code(x, group), group)) - x), power);
        }
        return sum;
      };
      const auto [lowest, highest] = std::minmax_element(w.begin(), w.end());
      double least = std::numeric_limits<double>::infinity();
      for (int i = 0; i < 80; ++i) {
        const float ratio = static_cast<float>(100 - i) / 100.0F;
        least = std::min(least, error(grid.of_range(*lowest * ratio, *highest * ratio)));
      }
      EXPECT_NEAR(error(grid.find(w, {ScaleSearch::mse, power})), least, 1e-12) << text;
      EXPECT_LT(least, error(grid.find(w, {}))) << text;
    }
  }
}

TEST(WeightGrid, RefusesWhatHasNoCode) {
  const WeightGrid grid(QuantSpec::parse("int4.channel.sym"));
  const std::vector<float> w = {1.0F, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(grid.find(w, {}), data::InputError);
  EXPECT_THROW(WeightGrid(QuantSpec::parse("int8.token.sym")), data::InputError);
}

std::string refusal(const QuantConfig& config, const std::string& spec) {
  try {
    check_transforms(config);
    check_method(config, QuantSpec::parse(spec));
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "";
}

QuantConfig config_with(Method method, std::vector<TransformKind> transforms = {}) {
  QuantConfig config;
  config.method = method;
  config.transforms = std::move(transforms);
  return config;
}

TEST(MethodPlan, RefusesWhatCannotWorkWithTheReason) {
  using testing::HasSubstr;
  const auto smooth = TransformKind::smooth;
  const auto hadamard = TransformKind::hadamard;
  EXPECT_THAT(refusal(config_with(Method::hqq), "int4.g64.asym"), HasSubstr("real-valued zero points"));
  EXPECT_EQ(refusal(config_with(Method::hqq, {hadamard}), "int4.g64.asym.float16.zp_float16"), "");
  EXPECT_THAT(refusal(config_with(Method::omniquant), "e2m1.g32.sym"), HasSubstr("use type: int"));
  EXPECT_THAT(refusal(config_with(Method::awq), "int4.tensor.sym"), HasSubstr("parts of rows"));
  EXPECT_EQ(refusal(config_with(Method::awq), "e2m1.g32.sym"), "");
  EXPECT_THAT(refusal(config_with(Method::awq, {smooth}), "int4.g64.sym"),
              HasSubstr("searches the multipliers"));
  EXPECT_THAT(refusal(config_with(Method::lsq, {smooth}), "int4.g64.sym"), HasSubstr("not in training"));
  EXPECT_THAT(refusal(config_with(Method::rtn, {smooth, smooth}), "int4.g64.sym"), HasSubstr("twice"));
  for (const std::string spec : {"int4.channel.sym", "int4.g48.sym"}) {
    EXPECT_THAT(refusal(config_with(Method::rtn, {hadamard}), spec), HasSubstr("power of two")) << spec;
  }
  QuantConfig ordered = config_with(Method::gptq);
  ordered.calibration.act_order = true;
  EXPECT_THAT(refusal(ordered, "int4.b16x16.sym"), HasSubstr("static_groups: true"));
  ordered.calibration.static_groups = true;
  EXPECT_EQ(refusal(ordered, "int4.b16x16.sym"), "");
}

TEST(MethodPlan, SaysWhatALayerHasBesidesItsScales) {
  QuantConfig config = config_with(Method::gptq);
  config.calibration.act_order = true;
  EXPECT_TRUE(layer_plan(config, QuantSpec::parse("int4.g32.sym"), 64).group_index);
  EXPECT_FALSE(layer_plan(config, QuantSpec::parse("int4.g64.sym"), 64).group_index);
  EXPECT_FALSE(layer_plan(config, QuantSpec::parse("int4.channel.sym"), 64).group_index);
  EXPECT_TRUE(layer_plan(config_with(Method::awq), QuantSpec::parse("int4.g32.sym"), 64).input_multiplier);
  const QuantConfig both = config_with(Method::rtn, {TransformKind::smooth, TransformKind::hadamard});
  EXPECT_TRUE(layer_plan(both, QuantSpec::parse("int4.g32.sym"), 64).input_multiplier);
  EXPECT_EQ(layer_plan(both, QuantSpec::parse("int4.g32.sym"), 64).hadamard_block, 32);
  EXPECT_TRUE(needs_calibration(both));
  EXPECT_FALSE(needs_calibration(config_with(Method::rtn, {TransformKind::hadamard})));
  EXPECT_TRUE(is_calibrated(config_with(Method::hqq)));
  EXPECT_FALSE(is_calibrated(config_with(Method::rtn)));
}

}  // namespace
}  // namespace bitlaw::quant
