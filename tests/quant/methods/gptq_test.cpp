// Statistics of inputs, round-to-nearest and GPTQ on random layers, with errors taken from the rows
// themselves.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/formats/input_error.h"
#include "quant/methods/gptq.h"
#include "quant/methods/rtn.h"
#include "quant/quantizer.h"
#include "tests/quant/methods/layer_problem.h"

namespace bitlaw::quant {
namespace {

TEST(InputStatistics, OutputErrorIsThatOfTheRows) {
  const LayerProblem problem = layer_problem(8, 48, 20);
  const at::Tensor change = normal_tensor({8, 48}, 21);
  const double expected = output_error_from_rows(problem, change);
  EXPECT_NEAR(problem.inputs.output_error(change), expected, 1e-12 * expected);
}

TEST(InputStatistics, MergeOfPartsIsTheWhole) {
  const LayerProblem problem = layer_problem(4, 24, 22);
  Statistics whole;
  observe_input(whole, "a", problem.input.view({2, -1, 24}));  // leading dimensions are rows
  Statistics left, right;
  observe_input(left, "a", problem.input.slice(0, 0, 40));
  observe_input(right, "a", problem.input.slice(0, 40));
  left.merge(right);
  const InputStatistics merged = input_statistics(left, "a");
  EXPECT_EQ(merged.count, 96.0);
  EXPECT_LT((merged.gram - whole.at("a/gram")).abs().max().item<double>(), 1e-9);
  EXPECT_TRUE(at::equal(merged.abs_max, problem.input.abs().amax(0).to(at::kDouble)));
  EXPECT_LT((merged.mean_abs() - problem.input.abs().to(at::kDouble).mean(0)).abs().max().item<double>(),
            1e-12);
  EXPECT_THROW(input_statistics(left, "b"), std::invalid_argument);
}

TEST(InputStatistics, CountsChannelsOfOneValue) {
  at::Tensor x = normal_tensor({50, 6}, 25);
  x.select(1, 2).fill_(0.7);
  x.select(1, 4).zero_();
  Statistics statistics;
  observe_input(statistics, "a", x);
  EXPECT_EQ(input_statistics(statistics, "a").constant_channels(), 2);
  const at::Tensor m = at::full({6}, 3.0F);
  EXPECT_EQ(multiplied(input_statistics(statistics, "a"), m).constant_channels(), 2);
}

TEST(InputStatistics, AnInputThatIsNotFiniteIsNamed) {
  Statistics statistics;
  at::Tensor x = normal_tensor({4, 8}, 23);
  x[2][3] = std::numeric_limits<float>::infinity();
  observe_input(statistics, "blocks.0.ffn.fc1", x);
  try {
    input_statistics(statistics, "blocks.0.ffn.fc1");
    FAIL();
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("blocks.0.ffn.fc1: the layer's input is not finite"));
  }
}

// Floats with one and two scales, MX, two-level, quantiles, ternary, blocks, real zero points.
const std::vector<std::string> kFormats = {
    "e2m1.g32.sym",        "e3m0.channel.sym",       "e2m1.g32.asym",  "e2m1.g32.sym.e8m0",
    "int8.g32.sym.e8m0",   "e2m1.g16.sym.e4m3",      "nf4.g32.sym",    "nf3.g32.asym",
    "ternary.channel.sym", "e4m3.b8x32.sym.float32", "int4.b8x32.sym", "int4.g32.asym.float16.zp_float16"};

TEST(Rtn, IsTheQuantizersOwnRoundingInEveryFormat) {
  const at::Tensor weight = normal_tensor({16, 64}, 26);
  for (const std::string& text : kFormats) {
    const QuantSpec spec = QuantSpec::parse(text);
    for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
      Quantizer quantizer(spec, Method::rtn, 16, 64);
      quantizer.initialise(weight, search);
      const LayerCodes codes = round_to_nearest(weight, spec, {search, 2.0});
      EXPECT_TRUE(same_bits(codes.codes, quantizer.codes(weight))) << text;
      EXPECT_TRUE(same_bits(dequantise(codes, spec), quantizer.forward(weight))) << text;
    }
  }
}

TEST(Gptq, BeatsRoundToNearestInEveryFormat) {
  const LayerProblem problem = layer_problem(16, 64, 27);
  for (const std::string& text : kFormats) {
    const QuantSpec spec = QuantSpec::parse(text);
    const LayerCodes codes = gptq(problem.weight, problem.inputs, spec);
    EXPECT_LT(error_of(problem, codes, spec),
              0.9 * error_of(problem, round_to_nearest(problem.weight, spec, {}), spec))
        << text;
    Quantizer quantizer(spec, Method::gptq, 16, 64);
    const at::Tensor masters = quantizer.adopt(codes);
    EXPECT_TRUE(same_bits(quantizer.codes(masters), codes.codes)) << text;
    EXPECT_TRUE(same_bits(quantizer.forward(masters), masters)) << text;
  }
}

TEST(Rtn, IsTheQuantizersOwnRounding) {
  const at::Tensor weight = normal_tensor({6, 60}, 24);
  for (const QuantSpec& spec : weight_specs()) {
    for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
      Quantizer quantizer(spec, Method::rtn, 6, 60);
      quantizer.initialise(weight, search);
      const LayerCodes codes = round_to_nearest(weight, spec, {search, 2.0});
      EXPECT_TRUE(same_bits(codes.codes, quantizer.codes(weight))) << spec.to_string();
      EXPECT_TRUE(same_bits(codes.scale, quantizer.scale())) << spec.to_string();
      EXPECT_TRUE(same_bits(dequantise(codes, spec), quantizer.forward(weight))) << spec.to_string();
    }
  }
}

TEST(Gptq, BeatsRoundToNearestForEverySpecAndOption) {
  const LayerProblem problem = layer_problem(24, 160, 30);
  for (const std::string& text : kSpecs) {
    const QuantSpec spec = QuantSpec::parse(text);
    const double nearest = error_of(problem, round_to_nearest(problem.weight, spec, {}), spec);
    for (const bool act_order : {false, true}) {
      for (const bool static_groups : {false, true}) {
        GptqOptions options;
        options.act_order = act_order;
        options.static_groups = static_groups;
        const LayerCodes codes = gptq(problem.weight, problem.inputs, spec, options);
        EXPECT_LT(error_of(problem, codes, spec), 0.8 * nearest) << text << act_order << static_groups;
      }
    }
  }
}

// The definition, one input at a time, in double: no blocks, the inverse shrunk by elimination.
TEST(Gptq, EqualsTheUnblockedDefinition) {
  const LayerProblem problem = layer_problem(12, 160, 31);
  const QuantSpec spec = QuantSpec::parse("int4.channel.sym.float32");
  const LayerCodes blocked = gptq(problem.weight, problem.inputs, spec);
  at::Tensor moments = problem.inputs.gram.clone();
  moments.diagonal().add_(moments.diagonal().mean() * 0.01);
  at::Tensor inverse = at::linalg_inv(moments);
  at::Tensor w = problem.weight.to(at::kDouble).clone();
  at::Tensor codes = at::empty(w.sizes(), at::kByte);
  const WeightGrid grid(spec);
  for (std::int64_t j = 0; j < 160; ++j) {
    at::Tensor error = at::empty({12}, at::kDouble);
    for (std::int64_t row = 0; row < 12; ++row) {
      const GroupParameters scale = group_scale(blocked, row, 0);
      const std::uint8_t code = grid.code(w[row][j].item<float>(), scale);
      codes[row][j] = code;
      error[row] = (w[row][j] - static_cast<double>(grid.value(code, scale))) / inverse[j][j];
    }
    w -= at::outer(error, inverse[j]);
    inverse -= at::outer(inverse.select(1, j), inverse[j]) / inverse[j][j];
  }
  EXPECT_EQ(codes.ne(blocked.codes).sum().item<std::int64_t>(), 0);
}

TEST(Gptq, BlockSizeDoesNotMatterWithoutGroups) {
  const LayerProblem problem = layer_problem(12, 160, 32);
  const QuantSpec spec = QuantSpec::parse("int3.channel.asym.float32");
  GptqOptions options;
  const LayerCodes wide = gptq(problem.weight, problem.inputs, spec, options);
  options.block = 7;
  const LayerCodes narrow = gptq(problem.weight, problem.inputs, spec, options);
  EXPECT_LE(wide.codes.ne(narrow.codes).sum().item<std::int64_t>(), 2);  // sums in another order
}

TEST(Gptq, DeadInputsGetWeightZero) {
  LayerProblem problem = layer_problem(6, 64, 33);
  problem.inputs.gram.select(0, 7).zero_();
  problem.inputs.gram.select(1, 7).zero_();
  const QuantSpec spec = QuantSpec::parse("int4.g32.asym");
  const at::Tensor values = dequantise(gptq(problem.weight, problem.inputs, spec), spec);
  EXPECT_EQ(values.select(1, 7).abs().max().item<float>(), 0.0F);
  EXPECT_GT(values.select(1, 8).abs().max().item<float>(), 0.0F);
}

TEST(Gptq, GroupIndexNamesEachGroupsInputs) {
  const LayerProblem problem = layer_problem(6, 96, 34);
  const QuantSpec spec = QuantSpec::parse("int4.g32.sym");
  GptqOptions options;
  options.act_order = true;
  const LayerCodes codes = gptq(problem.weight, problem.inputs, spec, options);
  ASSERT_TRUE(codes.group_index.defined());
  EXPECT_EQ(codes.group_index[3].item<int>(), 0);  // the loudest input comes first
  for (int group = 0; group < 3; ++group) {
    EXPECT_EQ(codes.group_index.eq(group).sum().item<int>(), 32);
  }
  options.static_groups = true;
  EXPECT_FALSE(gptq(problem.weight, problem.inputs, spec, options).group_index.defined());
}

TEST(Gptq, InverseFactorMultipliesToTheInverse) {
  for (const std::int64_t size : {1, 5, 128, 300}) {
    const at::Tensor x = normal_tensor({2 * size, size}, 35).to(at::kDouble);
    const at::Tensor moments = at::matmul(x.t(), x) + at::eye(size, at::kDouble);
    const at::Tensor upper = inverse_upper_factor(moments);
    EXPECT_TRUE(at::equal(upper, upper.triu()));
    const at::Tensor exact = at::linalg_cholesky(at::linalg_inv(moments), /*upper=*/true);
    EXPECT_LT((upper - exact).abs().max().item<double>(), 1e-5 * exact.abs().max().item<double>()) << size;
  }
}

TEST(Gptq, MomentsWithoutAFactorAreRefused) {
  LayerProblem problem = layer_problem(4, 16, 36);
  problem.inputs.gram[2][2] = -1e9;
  try {
    gptq(problem.weight, problem.inputs, QuantSpec::parse("int4.channel.sym"));
    FAIL();
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("raise calibration.damping"));
  }
}

}  // namespace
}  // namespace bitlaw::quant
