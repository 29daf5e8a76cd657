// Static inputs of a whole model: observed once, the same on all ranks, saved, loaded, packed and counted.
#include "quant/input_observation.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "quant/bits.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "tests/quant/toy_model.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::HasSubstr;

QuantConfig config_of(InputMethod method, bool symmetric = true) {
  QuantConfig config;
  config.method = Method::lsq;
  config.scale_search = ScaleSearch::absmax;
  config.weights.num_bits = 4;
  config.weights.group_size = 32;
  config.ignore = {"head", "*ada_lin*"};
  config.activations = ActivationConfig{};
  config.activations->dynamic = false;
  config.activations->symmetric = symmetric;
  config.activations->observer = ObserverKind::percentile;
  config.activations->method = method;
  return config;
}

at::Tensor tokens(std::int64_t first) {
  return (at::arange(5, at::kLong) * 3 + first).remainder(10);
}

std::shared_ptr<ToyModel> prepared(const QuantConfig& config, ScaleInit init = ScaleInit::from_weights) {
  auto model = std::make_shared<ToyModel>();
  prepare(*model, config, init);
  return model;
}

Statistics seen_by(ToyModel& model, const std::vector<std::int64_t>& batches) {
  const at::NoGradGuard no_grad;
  InputObservation observation(linear_layers(model));
  for (const std::int64_t first : batches) {
    model.forward(tokens(first));
  }
  return observation.seen();
}

void adopt(ToyModel& model, const Statistics& merged) {
  InputObservation(linear_layers(model)).adopt(merged);
}

std::shared_ptr<ToyModel> observed(const QuantConfig& config) {
  auto model = prepared(config);
  adopt(*model, seen_by(*model, {0, 1, 2, 3}));
  return model;
}

const std::vector<QuantConfig>& all_configs() {
  static const std::vector<QuantConfig> configs = {
      config_of(InputMethod::fixed), config_of(InputMethod::fixed, false), config_of(InputMethod::lsq),
      config_of(InputMethod::lsq_plus, false), config_of(InputMethod::pact)};
  return configs;
}

TEST(InputObservation, RanksThatMergeHaveTheSameScales) {
  for (const QuantConfig& config : all_configs()) {
    const auto whole = observed(config);
    const auto first = prepared(config), second = prepared(config);
    Statistics merged = seen_by(*first, {0, 1});
    merged.merge(seen_by(*second, {2, 3}));
    adopt(*first, merged);
    adopt(*second, merged);
    const std::string hash = parameter_hash(*whole);
    EXPECT_EQ(parameter_hash(*first), hash);
    EXPECT_EQ(parameter_hash(*second), hash);
  }
}

TEST(InputObservation, InputsPassUnquantisedMeanwhileAndOnlyThen) {
  const QuantConfig config = config_of(InputMethod::fixed);
  const auto model = prepared(config);
  EXPECT_THROW(model->forward(tokens(0)), std::logic_error);
  QuantConfig weights_only = config;
  weights_only.activations.reset();
  const at::Tensor plain = prepared(weights_only)->forward(tokens(0));
  {
    InputObservation observation(linear_layers(*model));
    EXPECT_TRUE(same_bits(model->forward(tokens(0)), plain));
    observation.adopt(observation.seen());
  }
  EXPECT_FALSE(same_bits(model->forward(tokens(0)), plain));
  EXPECT_LT((model->forward(tokens(0)) - plain).abs().max().item<double>(),
            0.05 * plain.abs().max().item<double>());
}

TEST(InputObservation, ALayerThatSawNothingIsNamed) {
  const auto model = prepared(config_of(InputMethod::fixed));
  EXPECT_THAT(message_of([&] { adopt(*model, Statistics()); }), HasSubstr("no input of blocks.0.fc1"));
}

TEST(InputObservation, DynamicInputsAreLeftAlone) {
  QuantConfig config = config_of(InputMethod::fixed);
  config.activations = ActivationConfig{};
  const auto model = prepared(config);
  EXPECT_TRUE(InputObservation(linear_layers(*model)).empty());
  EXPECT_EQ(static_inputs_text(linear_layers(*model)), "");
  EXPECT_THAT(static_inputs_text(linear_layers(*observed(config_of(InputMethod::fixed)))),
              HasSubstr("blocks.1.fc2"));
}

TEST(StaticInputs, ASavedStateGivesTheSameModelAgain) {
  for (const QuantConfig& config : all_configs()) {
    const auto model = observed(config);
    const auto again = prepared(config, ScaleInit::left_for_load);
    load_state(*again, state_of(*model, StateScope::checkpoint));
    EXPECT_TRUE(same_bits(again->forward(tokens(1)), model->forward(tokens(1))));
    EXPECT_EQ(parameter_hash(*again), parameter_hash(*model));
  }
}

TEST(StaticInputs, APackedModelGivesTheSameOutputAndIsCountedAlike) {
  for (const QuantConfig& config : all_configs()) {
    const auto model = observed(config);
    const PackedModel packed = pack_model(*model, config.rest_dtype);
    for (const auto& [name, tensor] : packed.tensors) {
      EXPECT_EQ(name.find("quantizer"), std::string::npos) << name;
    }
    const auto plain = std::make_shared<ToyModel>();
    load_packed(*plain, packed);
    EXPECT_TRUE(same_bits(plain->forward(tokens(1)), model->forward(tokens(1))));
    const BitCount live = count_bits(*model, config.rest_dtype), stored = count_bits(packed);
    const bool zero_points = !*config.activations->symmetric;
    EXPECT_EQ(live.input_bits, 4 * (16 + (zero_points ? 8 : 0)));
    EXPECT_EQ(stored.input_bits, live.input_bits);
    EXPECT_EQ(stored.model_bits(), live.model_bits());
    QuantConfig weights_only = config;
    weights_only.activations.reset();
    EXPECT_EQ(count_bits(*prepared(weights_only), config.rest_dtype).model_bits() + live.input_bits,
              live.model_bits());
  }
}

TEST(StaticInputs, EveryLearnedParameterGetsAGradient) {
  for (const QuantConfig& config : all_configs()) {
    const auto model = observed(config);
    model->forward(tokens(1)).square().sum().backward();
    for (const auto& item : model->named_parameters()) {
      if (item.key().find("fc1.input_quantizer") != std::string::npos) {
        EXPECT_TRUE(item.value().grad().defined()) << item.key();
      }
    }
  }
}

TEST(GroupsOfInputs, MustDivideEveryLayer) {
  ToyModel model;
  QuantConfig config = config_of(InputMethod::fixed);
  config.activations = ActivationConfig{};
  config.activations->group_size = 48;
  EXPECT_THAT(
      message_of([&] { prepare(model, config, ScaleInit::from_weights); }),
      testing::AllOf(HasSubstr("quant.activations.group_size 48 does not divide 64 inputs"),
                     HasSubstr("group_size 48 does not divide 128 inputs"), HasSubstr("blocks.1.fc1")));
}

}  // namespace
}  // namespace bitlaw::quant
