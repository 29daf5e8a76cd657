// State of quantisers as a damaged or foreign checkpoint has it: refused with the tensor's name, before a
// forward looks anything up by it.
#include "quant/state_check.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "quant/requantise.h"
#include "tests/quant/toy_model.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

using State = std::map<std::string, at::Tensor>;

QuantConfig config_of(Method method, bool symmetric) {
  QuantConfig config;
  config.method = method;
  config.weights.num_bits = 3;
  config.weights.group_size = 32;
  config.weights.symmetric = symmetric;
  config.ignore = {"head"};
  config.activations.emplace();
  config.activations->dynamic = false;
  config.activations->symmetric = symmetric;
  return config;
}

State copy_of(ToyModel& model) {
  State state;
  for (const auto& [name, tensor] : state_of(model, StateScope::checkpoint)) {
    state.emplace(name, tensor.clone());
  }
  return state;
}

// Of a model whose every quantizer knows its scales.
State whole_state(const QuantConfig& config) {
  QuantConfig rounded = config;
  rounded.method = Method::rtn;
  rounded.activations.reset();
  ToyModel source;
  prepare(source, rounded, ScaleInit::from_weights);
  ToyModel model;
  prepare(model, config, ScaleInit::from_weights);
  if (config.method == Method::e2e_qp) {
    freeze_codes(model, pack_model(source, RestType::bfloat16).weights, "here");
  }
  const bool symmetric = *config.activations->symmetric;
  for (const auto& [name, linear] : linear_layers(model)) {
    if (linear->input_quantizer()) {
      linear->input_quantizer()->adopt(
          {linear->input_quantizer()->spec(), 0.25F, symmetric ? std::nullopt : std::optional(3.0F)});
    }
  }
  return copy_of(model);
}

std::string refusal(const QuantConfig& config, const State& state) {
  ToyModel model;
  prepare(model, config, ScaleInit::left_for_load);
  return message_of([&] { load_state(model, state); });
}

// The message when one number of one tensor is another one.
std::string refusal_of(const QuantConfig& config, const std::string& name, double value) {
  State state = whole_state(config);
  state.at(name).flatten()[-1] = value;
  return refusal(config, state);
}

TEST(StateCheck, WhatWasSavedIsLoaded) {
  for (const Method method : {Method::rtn, Method::ste, Method::lsq, Method::e2e_qp}) {
    for (const bool symmetric : {true, false}) {
      const QuantConfig config = config_of(method, symmetric);
      EXPECT_EQ(refusal(config, whole_state(config)), "") << data::enum_name(method);
    }
  }
}

TEST(StateCheck, CodesAndGroupsThatWouldBeReadOutOfBounds) {
  const QuantConfig config = config_of(Method::e2e_qp, true);
  const std::string fc1 = "blocks.0.fc1.weight_quantizer.";
  EXPECT_THAT(refusal_of(config, fc1 + "codes", 255),
              AllOf(HasSubstr(fc1 + "codes: code 255"), HasSubstr("8")));
  EXPECT_THAT(refusal_of(config, fc1 + "codes", 8), HasSubstr("code 8"));
  for (const double group : {2.0, 40.0, 2e9, -1.0}) {
    EXPECT_THAT(refusal_of(config, fc1 + "group_index", group), HasSubstr(fc1 + "group_index: group index"));
  }
  EXPECT_THAT(refusal_of(config, fc1 + "group_index", 0.0), HasSubstr("a group of"));
  QuantConfig ternary = config;
  ternary.weights = {};
  ternary.weights.type = NumberType::ternary;
  EXPECT_THAT(refusal_of(ternary, fc1 + "codes", 0), HasSubstr("it is no number of ternary"));
}

TEST(StateCheck, ScalesAndZeroPointsThatGiveNoNumbers) {
  const std::string fc2 = "blocks.1.fc2.weight_quantizer.";
  const std::string input = "blocks.1.fc2.input_quantizer.";
  const QuantConfig frozen = config_of(Method::e2e_qp, false);
  EXPECT_THAT(refusal_of(frozen, fc2 + "log_scale", NAN), HasSubstr(fc2 + "log_scale: NaN or infinity"));
  EXPECT_THAT(refusal_of(frozen, fc2 + "zero_point", 4), HasSubstr(fc2 + "zero_point: zero points from"));
  EXPECT_THAT(refusal_of(frozen, fc2 + "zero_point", -5), HasSubstr("-4 to 3"));
  EXPECT_THAT(refusal_of(frozen, fc2 + "input_multiplier", 0), HasSubstr(fc2 + "input_multiplier: a multi"));
  EXPECT_THAT(refusal_of(frozen, input + "zero_point", 3), "");
  const QuantConfig fixed = config_of(Method::rtn, true);
  EXPECT_THAT(refusal_of(fixed, fc2 + "scale", 0), HasSubstr(fc2 + "scale: a scale of 0"));
  EXPECT_THAT(refusal_of(fixed, fc2 + "scale", INFINITY), HasSubstr(fc2 + "scale: NaN or infinity"));
  EXPECT_THAT(refusal_of(fixed, input + "scale", NAN), HasSubstr(input + "scale: NaN or infinity"));
  EXPECT_THAT(refusal_of(fixed, input + "scale", -0.5), HasSubstr(input + "scale: a scale of -0.5"));
}

}  // namespace
}  // namespace bitlaw::quant
