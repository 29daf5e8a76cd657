// Masters that a method leaves have the method's codes again: over every spec there is, every code, and
// scales and zero points anywhere in their types; and what every method leaves of a layer, over the formats
// it takes.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/formats/input_error.h"
#include "quant/learned_scale.h"
#include "quant/levels.h"
#include "quant/methods/post_training.h"
#include "quant/quantizer.h"
#include "tests/quant/methods/layer_problem.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kOut = 8;
constexpr std::int64_t kIn = 64;

// Every number format, grid and symmetry, with every scale and zero point type that goes with it.
std::vector<QuantSpec> all_numbers(Strategy strategy) {
  std::vector<QuantSpecFields> numbers;
  for (std::int64_t bits = 2; bits <= 8; ++bits) {
    for (const Grid grid : {Grid::integer, Grid::half}) {
      numbers.push_back({.num_bits = bits, .grid = grid});
    }
    for (const ZeroPointType type : {ZeroPointType::int8, ZeroPointType::float16}) {
      numbers.push_back({.num_bits = bits, .symmetric = false, .zero_point_dtype = type});
    }
  }
  for (std::size_t format = 0; format < std::size(data::EnumNames<FloatFormat>::names); ++format) {
    for (const bool symmetric : {true, false}) {
      const auto which = static_cast<FloatFormat>(format);
      numbers.push_back({.num_bits = bits_of(which),
                         .type = NumberType::floating,
                         .format = which,
                         .symmetric = symmetric});
    }
  }
  for (const std::int64_t bits : {3, 4}) {
    for (const bool symmetric : {true, false}) {
      numbers.push_back({.num_bits = bits, .type = NumberType::quantile, .symmetric = symmetric});
    }
  }
  numbers.push_back({.num_bits = 2, .type = NumberType::ternary});
  std::vector<QuantSpec> specs;
  for (QuantSpecFields fields : numbers) {
    for (std::size_t type = 0; type < std::size(data::EnumNames<ScaleType>::names); ++type) {
      fields.strategy = strategy;
      fields.scale_dtype = static_cast<ScaleType>(type);
      fields.group_size = strategy == Strategy::group ? 32 : 0;
      if (strategy == Strategy::block) {
        fields.block_structure = {4, 16};
      }
      try {
        specs.emplace_back(fields);
      } catch (const data::InputError&) {
        continue;  // does not go together
      }
    }
  }
  return specs;
}

at::Tensor like_scale(const at::Tensor& scale, const std::function<float()>& next) {
  at::Tensor values = at::empty_like(scale);
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    values.mutable_data_ptr<float>()[i] = next();
  }
  return values;
}

// Any code that is a level; scales around 2^exponent.
LayerCodes arbitrary(const QuantSpec& spec, int exponent, std::uint64_t seed) {
  std::vector<float> normal = normal_values(4 * kOut * kIn, seed);
  std::size_t at = 0;
  const auto next = [&] { return normal[at++ % normal.size()]; };
  LayerCodes codes;
  const std::span<const float> levels = levels_of(spec);
  codes.codes = at::empty({kOut, kIn}, at::kByte);
  std::size_t code = 0;
  for (std::int64_t i = 0; i < kOut * kIn; ++i) {
    while (std::isnan(levels[code % levels.size()])) ++code;
    codes.codes.mutable_data_ptr<std::uint8_t>()[i] = static_cast<std::uint8_t>(code++ % levels.size());
  }
  const auto scale = [&] {
    return storable_scale(std::ldexp(std::exp(next()), exponent), spec.fields().scale_dtype);
  };
  codes.scale = like_scale(at::empty({spec.scale_rows(kOut), spec.groups(kIn)}), scale);
  if (spec.has_negative_scale()) codes.scale_negative = like_scale(codes.scale, scale);
  if (spec.has_global_scale()) codes.global_scale = 0x1p-6F;
  if (spec.has_zero_point()) {
    const bool real = spec.fields().zero_point_dtype == ZeroPointType::float16;
    codes.zero_point = like_scale(codes.scale, [&] {
      const float z = next() * static_cast<float>(spec.q_max());
      return real ? at::scalar_tensor(z).to(at::kHalf).item<float>()
                  : std::clamp(std::nearbyint(z), static_cast<float>(spec.q_min()),
                               static_cast<float>(spec.q_max()));
    });
  }
  return codes;
}

void expect_same_codes(const QuantSpec& spec, const LayerCodes& codes, const LayerPlan& plan, Method method) {
  Quantizer quantizer(spec, method, codes.codes.size(0), codes.codes.size(1), plan);
  const at::Tensor master = quantizer.adopt(codes);
  EXPECT_TRUE(same_bits(quantizer.codes(master), codes.codes)) << spec.to_string();
  EXPECT_TRUE(same_bits(quantizer.forward(master), master)) << spec.to_string();
  EXPECT_TRUE(same_bits(at::tensor(dequantise(quantizer.pack(master))).view(master.sizes()), master))
      << spec.to_string();
}

TEST(Recoding, EveryFormatWithEveryCodeIsItself) {
  std::size_t specs = 0;
  for (const Strategy strategy : {Strategy::tensor, Strategy::channel, Strategy::group, Strategy::block}) {
    for (const QuantSpec& spec : all_numbers(strategy)) {
      for (const int exponent : {-12, -4, 0, 3}) {
        expect_same_codes(spec, arbitrary(spec, exponent, ++specs), {}, Method::gptq);
      }
    }
  }
  EXPECT_GT(specs, 600U);
}

TEST(Recoding, ScatteredGroupsAreThemselves) {
  for (const QuantSpec& spec : all_numbers(Strategy::group)) {
    const std::int64_t groups = spec.groups(kIn);
    LayerCodes codes = arbitrary(spec, -4, 77);
    codes.group_index = (at::arange(kIn, at::kInt) * 5).remainder(groups).to(at::kInt);
    expect_same_codes(spec, codes, {.group_index = true}, Method::gptq);
  }
}

// The ends of what a scale type can hold: either the codes come again, or the layer is refused.
TEST(Recoding, AtTheEndsOfScalesItHoldsOrIsRefused) {
  std::size_t held = 0;
  std::size_t refused = 0;
  for (const QuantSpec& spec : all_numbers(Strategy::group)) {
    const ScaleLimits limits = limits_of(spec.fields().scale_dtype);
    for (const float extreme : {limits.smallest, limits.largest}) {
      LayerCodes codes = arbitrary(spec, 0, 5);
      codes.scale.fill_(extreme);
      if (codes.scale_negative.defined()) codes.scale_negative.fill_(extreme);
      if (codes.global_scale) codes.global_scale = extreme > 1.0F ? 0x1p120F : 0x1p-140F;
      try {
        expect_same_codes(spec, codes, {}, Method::gptq);
        ++held;
      } catch (const data::InputError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr(spec.to_string()));
        ++refused;
        const bool in_the_middle = spec.fields().scale_dtype == ScaleType::float16 ||
                                   (spec.fields().type == NumberType::integer && spec.fields().symmetric &&
                                    spec.fields().scale_dtype != ScaleType::e4m3 && extreme < 1.0F);
        EXPECT_FALSE(in_the_middle) << spec.to_string() << " with scales of " << extreme;
      }
    }
  }
  EXPECT_GT(held, 200U);
  EXPECT_GT(refused, 100U);  // products beyond float32, or below its smallest numbers
}

// What the methods themselves find of a layer, with every format that the configuration lets them have.
TEST(Recoding, WhatEveryMethodLeavesIsItself) {
  const LayerProblem problem = layer_problem(kOut, kIn, 3);
  std::map<Method, int> seen;
  for (const Method method : {Method::rtn, Method::gptq, Method::awq, Method::hqq, Method::omniquant}) {
    for (const QuantSpec& spec : all_numbers(Strategy::group)) {
      QuantConfig config;
      config.method = method;
      config.scale_search = ScaleSearch::absmax;
      config.calibration.act_order = true;
      config.calibration.clip_steps = 2;
      try {
        check_method(config, spec);
      } catch (const data::InputError&) {
        continue;
      }
      const LayerCodes codes = quantise_layer(problem.weight, problem.inputs, spec, config);
      expect_same_codes(spec, codes, layer_plan(config, spec, kIn), method);
      ++seen[method];
    }
  }
  EXPECT_EQ(seen.size(), 5U);
}

}  // namespace
}  // namespace bitlaw::quant
