// Rules by name pattern: what is quantised, how, and what is refused.
#include "quant/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/formats/input_error.h"
#include "tests/quant/toy_model.h"

namespace bitlaw::quant {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

QuantConfig config_of(std::int64_t bits, std::int64_t group_size) {
  QuantConfig config;
  config.method = Method::lsq;
  config.scale_search = ScaleSearch::absmax;
  config.weights.num_bits = bits;
  config.weights.strategy = Strategy::group;
  config.weights.group_size = group_size;
  return config;
}

OverrideConfig override_of(const std::string& match, std::int64_t bits) {
  OverrideConfig rule;
  rule.match = match;
  rule.weights.num_bits = bits;
  return rule;
}

std::map<std::string, std::string> specs_of(const PrepareReport& report) {
  std::map<std::string, std::string> specs;
  for (const PreparedLayer& layer : report.layers) {
    specs[layer.name] = (layer.spec ? layer.spec->to_string() : "-") + " | " + layer.reason;
  }
  return specs;
}

std::string message_of(ToyModel& model, const QuantConfig& config) {
  try {
    prepare(model, config, ScaleInit::from_weights);
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Matches, StarIsAnyRunOfCharacters) {
  EXPECT_TRUE(matches("head", "head"));
  EXPECT_FALSE(matches("head", "head.x"));
  EXPECT_FALSE(matches("head", "ahead"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*.fc2", "blocks.11.ffn.fc2"));
  EXPECT_FALSE(matches("*.fc2", "fc2"));
  EXPECT_TRUE(matches("*.ada_lin.*", "blocks.0.ada_lin.1"));
  EXPECT_TRUE(matches("blocks.*.fc*", "blocks.0.ffn.fc1"));
  EXPECT_TRUE(matches("*a*ab", "aaab"));
  EXPECT_FALSE(matches("*a*ab*c", "aaab"));
  EXPECT_FALSE(matches("", "x"));
}

TEST(Prepare, QuantisesEveryLinearByDefault) {
  ToyModel model;
  const PrepareReport report = prepare(model, config_of(4, 32), ScaleInit::from_weights);
  ASSERT_EQ(report.layers.size(), 7U);
  for (const PreparedLayer& layer : report.layers) {
    EXPECT_EQ(layer.spec->to_string(), "int4.g32.sym") << layer.name;
    EXPECT_EQ(layer.reason, "quant.weights");
  }
  EXPECT_EQ(report.layers[0].name, "blocks.0.fc1");
  EXPECT_EQ(report.layers[0].out_features, 128);
  EXPECT_EQ(report.layers[0].in_features, 64);
  EXPECT_EQ(model.head->rest_dtype(), RestType::bfloat16);
  EXPECT_EQ(model.rest_dtype(), RestType::bfloat16);
  EXPECT_TRUE(model.named_parameters().contains("blocks.1.ada_lin.1.weight_quantizer.log_scale"));
}

TEST(Prepare, FirstIgnoreThenOverridesTheLastMatchWins) {
  ToyModel model;
  QuantConfig config = config_of(3, 32);
  config.ignore = {"head", "blocks.1.*"};
  config.overrides = {override_of("*.fc2", 4), override_of("*.ada_lin.*", 8), override_of("blocks.0.fc2", 2)};
  const auto specs = specs_of(prepare(model, config, ScaleInit::from_weights));
  EXPECT_EQ(specs.at("head"), "- | ignore: head");
  EXPECT_EQ(specs.at("blocks.0.fc1"), "int3.g32.sym | quant.weights");
  EXPECT_EQ(specs.at("blocks.0.fc2"), "int2h.g32.sym | overrides: blocks.0.fc2");
  EXPECT_EQ(specs.at("blocks.0.ada_lin.1"), "int8.g32.sym | overrides: *.ada_lin.*");
  EXPECT_EQ(specs.at("blocks.1.fc1"), "- | ignore: blocks.1.*");
  EXPECT_EQ(specs.at("blocks.1.fc2"), "int4.g32.sym | overrides: *.fc2");
  EXPECT_EQ(model.head->weight_quantizer(), nullptr);
}

TEST(Prepare, SetsScalesFromWeightsOrLeavesThemForALoad) {
  ToyModel model;
  prepare(model, config_of(4, 32), ScaleInit::left_for_load);
  const at::Tensor untouched = model.head->weight_quantizer()->scale();
  EXPECT_TRUE(at::equal(untouched, at::ones_like(untouched)));
  prepare(model, config_of(4, 32), ScaleInit::from_weights);
  const at::Tensor first = model.head->weight.slice(1, 0, 32).abs().amax(1) / 7.5;
  EXPECT_TRUE(
      at::equal(model.head->weight_quantizer()->scale().select(1, 0), first.to(at::kHalf).to(at::kFloat)));
}

TEST(Prepare, MethodNoneLeavesTheModelAlone) {
  ToyModel model;
  QuantConfig config = config_of(4, 32);
  config.method = Method::none;
  const PrepareReport report = prepare(model, config, ScaleInit::from_weights);
  EXPECT_EQ(specs_of(report).at("head"), "- | quant.method: none");
  EXPECT_EQ(model.head->weight_quantizer(), nullptr);
  EXPECT_EQ(model.head->rest_dtype(), RestType::float32);
}

TEST(Prepare, QuantisesActivationsOfQuantisedLayersOnly) {
  ToyModel model;
  QuantConfig config = config_of(4, 32);
  config.ignore = {"head"};
  config.activations = ActivationConfig{};
  prepare(model, config, ScaleInit::from_weights);
  EXPECT_FALSE(model.head->activation_spec().has_value());
  for (const auto& [name, linear] : linear_layers(model)) {
    EXPECT_EQ(linear->activation_spec().has_value(), name != "head") << name;
  }
}

TEST(Prepare, NamesAllProblemsAtOnce) {
  ToyModel model;
  QuantConfig config = config_of(4, 48);  // divides no input width
  config.targets = {"linear", "conv"};
  config.ignore = {"heads"};
  config.overrides = {override_of("*.fc3", 4)};
  const std::string message = message_of(model, config);
  EXPECT_THAT(message, AllOf(HasSubstr("quant.targets: 'conv'"), HasSubstr("quant.ignore: pattern 'heads'"),
                             HasSubstr("quant.overrides: pattern '*.fc3'"), HasSubstr("'blocks.0.fc1'")));
  EXPECT_THAT(message,
              AllOf(HasSubstr("blocks.1.fc2 [64, 128]"), HasSubstr("head [10, 64]"), HasSubstr("48")));
  EXPECT_EQ(model.head->weight_quantizer(), nullptr);  // refused: nothing was changed
  EXPECT_EQ(model.rest_dtype(), RestType::float32);
}

TEST(Prepare, NamesTheLayerWhoseWeightIsNotFinite) {
  ToyModel model;
  {
    const at::NoGradGuard no_grad;
    model.head->weight[1][2] = std::numeric_limits<float>::quiet_NaN();
  }
  const std::string message = message_of(model, config_of(4, 32));
  EXPECT_THAT(message, AllOf(HasSubstr("head [10, 64]"), HasSubstr("NaN"), Not(HasSubstr("fc1"))));
}

TEST(Prepare, ReportIsATable) {
  ToyModel model;
  QuantConfig config = config_of(4, 32);
  config.ignore = {"head"};
  const std::string text = prepare(model, config, ScaleInit::from_weights).to_string();
  EXPECT_THAT(text, HasSubstr("layer               shape         spec          why\n"));
  EXPECT_THAT(text, HasSubstr("blocks.0.ada_lin.1  96x64         int4.g32.sym  quant.weights\n"));
  EXPECT_THAT(text, HasSubstr("head                10x64         -             ignore: head\n"));
}

}  // namespace
}  // namespace bitlaw::quant
