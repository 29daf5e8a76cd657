// Widths as a function of the step, and what is refused.
#include "quant/progressive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"

namespace bitlaw::quant {
namespace {

QuantConfig config_of(std::vector<std::int64_t> num_bits, std::vector<std::int64_t> steps) {
  QuantConfig config;
  config.method = Method::lsq;
  config.weights.num_bits = 3;
  config.weights.group_size = 64;
  config.overrides.resize(3);
  config.overrides[0].match = "*.fc2";
  config.overrides[0].weights.num_bits = 6;
  config.overrides[1].match = "*.proj";
  config.overrides[1].weights.group_size = 32;
  config.overrides[2].match = "head";
  config.overrides[2].weights.format = FloatFormat::e2m1;
  config.progressive = {std::move(num_bits), std::move(steps)};
  return config;
}

std::int64_t width_at(const QuantConfig& config, std::int64_t step) {
  return weight_spec(config_at(config, step).weights).bits();
}

TEST(Progressive, TheWidthIsAFunctionOfTheStep) {
  const QuantConfig config = config_of({8, 4}, {100, 200});
  for (const auto& [step, width] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {0, 8}, {99, 8}, {100, 4}, {199, 4}, {200, 3}, {1000000, 3}}) {
    EXPECT_EQ(width_at(config, step), width) << step;
    EXPECT_TRUE(config_at(config, step).progressive.steps.empty());
  }
  EXPECT_TRUE(changes_at(config, 100));
  EXPECT_TRUE(changes_at(config, 200));
  EXPECT_FALSE(changes_at(config, 0));
  EXPECT_FALSE(changes_at(config, 101));
}

TEST(Progressive, ALayerNeverHasLessThanItsOwnWidth) {
  const QuantConfig config = config_of({8, 4}, {100, 200});
  const auto bits = [&](std::int64_t step, std::size_t rule) {
    const QuantConfig now = config_at(config, step);
    return weight_spec(now.overrides[rule].weights, now.weights).bits();
  };
  EXPECT_EQ(bits(0, 0), 8);
  EXPECT_EQ(bits(100, 0), 6);
  EXPECT_EQ(bits(200, 0), 6);
  EXPECT_EQ(bits(0, 1), 8);
  EXPECT_EQ(bits(200, 1), 3);
  EXPECT_EQ(bits(0, 2), 4);
}

TEST(Progressive, NumbersOfOneWidthKeepItWhateverElseTheirRuleSays) {
  QuantConfig config = config_of({8, 4}, {100, 200});
  config.weights.num_bits = 3;
  config.overrides.resize(5);
  config.overrides[0].weights = {};
  config.overrides[0].weights.type = NumberType::quantile;
  config.overrides[0].weights.num_bits = 4;
  config.overrides[1].weights = {};
  config.overrides[1].weights.type = NumberType::quantile;  // of the 3 bits of quant.weights
  config.overrides[2].weights = {};
  config.overrides[2].weights.format = FloatFormat::e2m1;
  config.overrides[2].weights.num_bits = 4;
  config.overrides[3].weights = {};
  config.overrides[3].weights.type = NumberType::ternary;
  config.overrides[3].weights.num_bits = 2;
  config.overrides[4].weights = {};
  config.overrides[4].weights.type = NumberType::ternary;
  const std::vector<std::string> specs = {"nf4.g64.sym", "nf3.g64.sym", "e2m1.g64.sym", "ternary.g64.sym",
                                          "ternary.g64.sym"};
  EXPECT_NO_THROW(check_progressive(config, 1000));
  for (const std::int64_t step : {0, 100, 200}) {
    const QuantConfig now = config_at(config, step);
    for (std::size_t i = 0; i < specs.size(); ++i) {
      EXPECT_EQ(weight_spec(now.overrides[i].weights, now.weights).to_string(), specs[i]) << step;
    }
  }
}

TEST(Progressive, TwoBitsGetTheirOwnGrid) {
  QuantConfig config = config_of({4}, {10});
  config.weights.num_bits = 2;
  EXPECT_EQ(weight_spec(config_at(config, 9).weights).to_string(), "int4.g64.sym");
  EXPECT_EQ(weight_spec(config_at(config, 10).weights).to_string(), "int2h.g64.sym");
}

TEST(Progressive, WithoutItEveryStepIsTheSame) {
  const QuantConfig config = config_of({}, {});
  EXPECT_EQ(width_at(config, 0), 3);
  EXPECT_FALSE(changes_at(config, 0));
  EXPECT_NO_THROW(check_progressive(config, 0));
}

std::string refusal(const QuantConfig& config, std::int64_t max_steps = 1000) {
  try {
    check_progressive(config, max_steps);
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Progressive, WhatCannotWorkIsRefused) {
  using testing::HasSubstr;
  EXPECT_EQ(refusal(config_of({8, 4}, {100, 200})), "");
  EXPECT_THAT(refusal(config_of({8, 4}, {100})), HasSubstr("two lists of the same length"));
  EXPECT_THAT(refusal(config_of({4, 8}, {100, 200})), HasSubstr("[4, 8] before num_bits 3"));
  EXPECT_THAT(refusal(config_of({8, 3}, {100, 200})), HasSubstr("falling"));
  EXPECT_THAT(refusal(config_of({8, 4}, {200, 100})), HasSubstr("rising"));
  EXPECT_THAT(refusal(config_of({8, 4}, {100, 200}), 200), HasSubstr("train.max_steps: 200"));
  QuantConfig config = config_of({8}, {100});
  config.method = Method::gptq;
  EXPECT_THAT(refusal(config), HasSubstr("method: gptq"));
  config.method = Method::e2e_qp;
  EXPECT_THAT(refusal(config), HasSubstr("frozen"));
  config = config_of({8}, {100});
  config.weights.format = FloatFormat::e1m1;
  EXPECT_THAT(refusal(config), HasSubstr("a format or ternary numbers have one width"));
  config = config_of({8}, {100});
  config.weights.type = NumberType::quantile;
  EXPECT_NE(refusal(config), "");  // there is no nf8
  config = config_of({7}, {100});
  config.weights.type = NumberType::floating;
  EXPECT_THAT(refusal(config), HasSubstr("progressive: weights before step 100: "));
  config = config_of({7}, {100});
  config.overrides[1].weights.type = NumberType::floating;  // at the width of quant.weights
  EXPECT_THAT(refusal(config), HasSubstr("progressive: overrides.1 before step 100: "));
}

}  // namespace
}  // namespace bitlaw::quant
