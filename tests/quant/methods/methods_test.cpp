// SmoothQuant, AWQ, OmniQuant and combinations on random layers: what each promises of a layer's output, with
// errors taken from the rows themselves.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

#include "data/formats/input_error.h"
#include "quant/methods/awq.h"
#include "quant/methods/gptq.h"
#include "quant/methods/hadamard.h"
#include "quant/methods/hqq.h"
#include "quant/methods/omniquant.h"
#include "quant/methods/post_training.h"
#include "quant/methods/rtn.h"
#include "quant/methods/smoothquant.h"
#include "tests/quant/methods/layer_problem.h"

namespace bitlaw::quant {
namespace {

TEST(SmoothQuant, MultiplierByHand) {
  const at::Tensor weight = at::tensor({0.5F, -2.0F, 0.0F, 0.25F, 1.0F, 0.0F}).view({2, 3});
  InputStatistics inputs;
  inputs.abs_max = at::tensor({8.0, 0.5, 0.0}, at::kDouble);
  const at::Tensor m = smoothing_multiplier(weight, inputs, 0.5);
  const double mean = std::cbrt(2.0);  // of s = 4, 1/2 and 1, the last with both at the smallest value
  EXPECT_NEAR(m[0].item<double>(), mean / std::sqrt(8.0 / 0.5), 1e-7);
  EXPECT_NEAR(m[1].item<double>(), mean / std::sqrt(0.5 / 2.0), 1e-6);
  EXPECT_NEAR(m[2].item<double>(), mean, 1e-6);
  const at::Tensor other = smoothing_multiplier(weight, inputs, 0.85);
  EXPECT_NEAR((other[0] / other[1]).item<double>(), std::pow(0.5 / 8.0, 0.85) * std::pow(0.5 / 2.0, 0.15),
              1e-7);
  EXPECT_NEAR(other.log().mean().item<double>(), 0.0, 1e-6);
}

TEST(SmoothQuant, KeepsTheFunctionOfALayer) {
  const LayerProblem problem = layer_problem(8, 48, 40);
  const at::Tensor m = smoothing_multiplier(problem.weight, problem.inputs, 0.5).to(at::kDouble);
  const at::Tensor x = problem.input.to(at::kDouble);
  const at::Tensor weight = problem.weight.to(at::kDouble);
  const at::Tensor expected = at::matmul(x, weight.t());
  const at::Tensor found = at::matmul(x * m, compensated(weight, m).t());
  EXPECT_LT((expected - found).abs().max().item<double>(), 1e-12);
  // The loud channel is no louder than alpha 0.5 leaves it.
  const at::Tensor before = x.abs().amax(0);
  const at::Tensor after = (x * m).abs().amax(0);
  EXPECT_LT((after.max() / after.median()).item<double>(),
            (before.max() / before.median()).item<double>() / 3);
}

// The search once more, from the rows, in double, by plain loops.
TEST(Awq, FindsTheExponentOfLeastOutputError) {
  const LayerProblem problem = layer_problem(16, 64, 41);
  const QuantSpec spec = QuantSpec::parse("int3.g32.asym");
  const at::Tensor x = problem.input.to(at::kDouble);
  at::Tensor best;
  double least = 1e300;
  for (int i = 0; i < 20; ++i) {
    at::Tensor s = x.abs().mean(0).pow(i / 20.0).clamp_min(1e-4);
    s = (s / (s.max() * s.min()).sqrt()).to(at::kFloat);
    const at::Tensor values = dequantise(round_to_nearest(problem.weight * s, spec, {}), spec);
    const double error = output_error_from_rows(problem, values / s - problem.weight);
    if (error < least) {
      least = error;
      best = s;
    }
  }
  const at::Tensor found = awq_multiplier(problem.weight, problem.inputs, spec, 20);
  EXPECT_LT((found * best - 1.0).abs().max().item<double>(), 1e-6);
  EXPECT_GT((found.max() / found.min()).item<double>(), 1.5);  // a loud channel is worth a scale
}

TEST(Awq, ClippingMinimisesEachGroupsOutputError) {
  const LayerProblem problem = layer_problem(5, 64, 42);
  const QuantSpec spec = QuantSpec::parse("int3.g32.sym");
  const at::Tensor clipped = awq_clipped(problem.weight, problem.inputs, spec, {});
  const QuantSpec one = QuantSpec::parse("int3.channel.sym");
  for (std::int64_t row = 0; row < 5; ++row) {
    for (std::int64_t group = 0; group < 2; ++group) {
      const at::Tensor w = problem.weight[row].slice(0, 32 * group, 32 * group + 32);
      const at::Tensor x = problem.input.slice(1, 32 * group, 32 * group + 32).to(at::kDouble);
      const auto error = [&](double ratio) {
        const at::Tensor range = w.abs().max() * ratio;
        const at::Tensor inside = at::minimum(at::maximum(w, -range), range).view({1, 32});
        const at::Tensor change = dequantise(round_to_nearest(inside, one, {}), one)[0] - w;
        return at::matmul(x, change.to(at::kDouble)).pow(2).sum().item<double>();
      };
      double least = 1e300;
      for (int i = 0; i < 10; ++i) {
        least = std::min(least, error(1.0 - i / 20.0));
      }
      const at::Tensor ours = clipped[row].slice(0, 32 * group, 32 * group + 32);
      const double ratio = (ours.abs().max() / w.abs().max()).item<double>();
      EXPECT_NEAR(error(ratio), least, 1e-4 * least) << row << " " << group;
    }
  }
}

TEST(Awq, LeavesRowsThatAreNotClipped) {
  const LayerProblem problem = layer_problem(6, 64, 43);
  AwqOptions options;
  options.first_clipped_row = 4;
  const at::Tensor clipped =
      awq_clipped(problem.weight, problem.inputs, QuantSpec::parse("int2h.g32.sym"), options);
  EXPECT_TRUE(at::equal(clipped.slice(0, 0, 4), problem.weight.slice(0, 0, 4)));
  EXPECT_FALSE(at::equal(clipped.slice(0, 4), problem.weight.slice(0, 4)));
}

TEST(Awq, BeatsRoundToNearest) {
  const LayerProblem problem = layer_problem(24, 160, 44);
  for (const std::string& text : kSpecs) {
    const QuantSpec spec = QuantSpec::parse(text);
    EXPECT_LT(error_of(problem, awq(problem.weight, problem.inputs, spec), spec),
              0.8 * error_of(problem, round_to_nearest(problem.weight, spec, {}), spec))
        << text;
  }
}

TEST(Omniquant, IsNeverWorseThanTheUnclippedRangeAndMostlyBetter) {
  const LayerProblem problem = layer_problem(16, 64, 50);
  std::vector<std::string> specs = kSpecs;
  specs.insert(specs.end(), {"int3.g16.sym.e4m3", "int2h.g16.sym.e4m3"});  // steps with two factors
  for (const std::string& text : specs) {
    const QuantSpec spec = QuantSpec::parse(text);
    const double nearest = error_of(problem, round_to_nearest(problem.weight, spec, {}), spec);
    const double ours = error_of(problem, omniquant(problem.weight, problem.inputs, spec), spec);
    EXPECT_LT(ours, text.rfind("int4", 0) == 0 ? nearest : 0.9 * nearest) << text;
    EXPECT_LE(error_of(problem, omniquant(problem.weight, problem.inputs, spec, {.steps = 0}), spec),
              nearest * (1 + 1e-9))
        << text;
  }
}

// One range a row and symmetric: the best ratio can be found by trying many.
TEST(Omniquant, ComesCloseToTheBestRatioOfEachRow) {
  const LayerProblem problem = layer_problem(1, 64, 51);
  const QuantSpec spec = QuantSpec::parse("int2h.channel.sym.float32");
  double least = 1e300;
  for (int i = 1; i <= 1000; ++i) {
    const WeightGrid grid(spec);
    LayerCodes codes;
    allocate_scales(codes, grid, group_layout(spec, 1, 64));
    const float range = problem.weight.abs().max().item<float>() * static_cast<float>(i) / 1000.0F;
    set_group_scale(codes, 0, 0, grid.of_range(-range, range));
    code_nearest(codes, problem.weight, grid);
    least = std::min(least, error_of(problem, codes, spec));
  }
  const LayerCodes codes = omniquant(problem.weight, problem.inputs, spec, {.steps = 1500});
  EXPECT_LT(error_of(problem, codes, spec), 1.1 * least);
}

TEST(Omniquant, RefusesASharedScaleAndPowersOfTwo) {
  const LayerProblem problem = layer_problem(4, 32, 52);
  for (const std::string text : {"int4.tensor.sym", "int8.g32.sym.e8m0"}) {
    try {
      omniquant(problem.weight, problem.inputs, QuantSpec::parse(text));
      FAIL() << text;
    } catch (const data::InputError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("omniquant with spec " + text));
    }
  }
}

TEST(Gptq, RefusesScalesOfBlocksInTheOrderOfTheInputs) {
  const LayerProblem problem = layer_problem(8, 64, 53);
  const QuantSpec spec = QuantSpec::parse("int4.b8x32.sym");
  EXPECT_THROW(gptq(problem.weight, problem.inputs, spec, {.act_order = true}), data::InputError);
  EXPECT_FALSE(gptq(problem.weight, problem.inputs, spec, {.act_order = true, .static_groups = true})
                   .group_index.defined());
}

// Dead inputs aside, compensation makes a later group larger than anything in the original weight.
TEST(Gptq, LeavesScalesUnderAGlobalScaleRoomToGrow) {
  const QuantSpec spec = QuantSpec::parse("int2h.g16.sym.e4m3");
  LayerProblem problem = layer_problem(1, 32, 54);
  // The second group repeats the first one's inputs: it is given all of the first one's rounding errors.
  problem.input.slice(1, 16).copy_(problem.input.slice(1, 0, 16));
  problem.inputs = {};
  Statistics statistics;
  observe_input(statistics, "layer", problem.input);
  problem.inputs = input_statistics(statistics, "layer");
  std::int64_t grown = 0;
  for (int i = 0; i < 40; ++i) {
    at::Tensor w = normal_tensor({1, 32}, 900 + static_cast<std::uint64_t>(i));
    w *= (1.5 * 440.0 * 0x1p-12) / w.abs().max();  // the largest scale is 440 of at most 448
    const LayerCodes codes = gptq(w, problem.inputs, spec, {.block = 16});
    const float global = *codes.global_scale;
    const auto largest = codes.scale.max().item<float>();
    EXPECT_LT(largest, 448.0F) << i;
    grown += largest * global > 448.0F * 0x1p-12F ? 1 : 0;
  }
  EXPECT_GT(grown, 0);  // scales that would have saturated
}

TEST(Methods, RefuseAWeightThatIsNotFinite) {
  LayerProblem problem = layer_problem(4, 64, 60);
  problem.weight[1][2] = std::numeric_limits<float>::quiet_NaN();
  const QuantSpec spec = QuantSpec::parse("int4.g32.asym");
  const QuantSpec real_zero = QuantSpec::parse("int4.g32.asym.float16.zp_float16");
  EXPECT_THROW(round_to_nearest(problem.weight, spec, {}), data::InputError);
  EXPECT_THROW(gptq(problem.weight, problem.inputs, spec), data::InputError);
  EXPECT_THROW(awq(problem.weight, problem.inputs, spec), data::InputError);
  EXPECT_THROW(omniquant(problem.weight, problem.inputs, spec), data::InputError);
  EXPECT_THROW(hqq(problem.weight, real_zero), data::InputError);
}

// A method that is none of one layer's must not be taken for rounding to nearest.
TEST(Methods, OfWholeBlocksMakeNoCodesOfALayer) {
  const LayerProblem problem = layer_problem(4, 64, 60);
  QuantConfig config;
  const QuantSpec spec = QuantSpec::parse("int4.g32.sym");
  config.method = Method::rtn;
  EXPECT_EQ(quantise_layer(problem.weight, std::nullopt, spec, config).codes.size(0), 4);
  for (const Method method : {Method::none, Method::ste, Method::lsq, Method::e2e_qp, Method::block_ap}) {
    config.method = method;
    EXPECT_THROW(quantise_layer(problem.weight, std::nullopt, spec, config), std::logic_error);
  }
}

// A rotation first: the methods then work on the rotated weight and the rotated input's statistics.
TEST(Methods, CombineWithARotation) {
  const LayerProblem problem = layer_problem(16, 64, 61);
  const QuantSpec spec = QuantSpec::parse("int4.g32.asym");
  const at::Tensor weight = rotate(problem.weight, 32);
  const InputStatistics inputs = rotated(problem.inputs, 32);
  LayerCodes nearest = round_to_nearest(weight, spec, {});
  LayerCodes corrected = gptq(weight, inputs, spec);
  nearest.hadamard_block = corrected.hadamard_block = 32;
  EXPECT_LT(error_of(problem, corrected, spec), 0.8 * error_of(problem, nearest, spec));
}

}  // namespace
}  // namespace bitlaw::quant
