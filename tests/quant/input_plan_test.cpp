// Activations from a configuration: what they become, and every combination that is refused.
#include "quant/input_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/methods/method_plan.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

ActivationConfig static_inputs(std::optional<InputMethod> method = std::nullopt) {
  ActivationConfig config;
  config.dynamic = false;
  config.method = method;
  return config;
}

ActivationConfig groups_of(std::int64_t size) {
  ActivationConfig config;
  config.group_size = size;
  return config;
}

std::string refusal(const ActivationConfig& config) {
  return message_of([&] { input_plan(config); });
}

TEST(InputPlan, StaticInputsAreOneTensor) {
  const InputPlan plan = input_plan(static_inputs());
  EXPECT_EQ(plan.spec.to_string(), "int8.tensor.sym");
  EXPECT_EQ(plan.method, InputMethod::fixed);
  EXPECT_EQ(plan.observer.kind, ObserverKind::mse);
  EXPECT_EQ(plan.observer.percentile, 99.99);
  EXPECT_TRUE(is_static(plan.spec));
  ActivationConfig config = static_inputs(InputMethod::lsq_plus);
  config.num_bits = 4;
  config.symmetric = false;
  config.strategy = Strategy::tensor;
  config.observer = ObserverKind::percentile;
  config.percentile = 99.0;
  config.zero_point_dtype = ZeroPointType::float16;
  EXPECT_EQ(input_plan(config).spec.to_string(), "int4.tensor.asym.float16.zp_float16");
  EXPECT_EQ(input_plan(config).observer.percentile, 99.0);
  config = static_inputs(InputMethod::lsq);
  config.format = FloatFormat::e4m3;
  EXPECT_EQ(input_plan(config).spec.to_string(), "e4m3.tensor.sym");
}

TEST(InputPlan, DynamicInputsAreTokensOrTheirGroups) {
  EXPECT_EQ(input_plan({}).spec.to_string(), "int8.token.sym");
  EXPECT_EQ(input_plan(groups_of(64)).spec.to_string(), "int8.g64.sym");
  ActivationConfig config = groups_of(32);
  config.scale_dtype = ScaleType::e8m0;
  EXPECT_EQ(input_plan(config).spec.to_string(), "int8.g32.sym.e8m0");
  config.format = FloatFormat::e2m1;
  EXPECT_EQ(input_plan(config).spec.to_string(), "e2m1.g32.sym.e8m0");
  EXPECT_FALSE(is_static(input_plan(config).spec));
}

TEST(InputPlan, TakesWhatTheConfigurationSaysOfTokens) {
  ActivationConfig config;
  config.num_bits = 4;
  config.symmetric = false;
  config.dynamic = true;
  config.strategy = Strategy::token;
  EXPECT_EQ(input_plan(config).spec.to_string(), "int4.token.asym");
  config = {};
  config.num_bits = 2;  // weights of 2 bits have the half grid
  EXPECT_EQ(input_plan(config).spec.to_string(), "int2.token.sym");
  config = {};
  config.format = FloatFormat::e4m3;
  EXPECT_EQ(input_plan(config).spec.to_string(), "e4m3.token.sym");
  config.symmetric = false;
  EXPECT_THAT(refusal(config), HasSubstr("one scale"));
}

TEST(InputPlan, NumbersThatInputsCannotHave) {
  ActivationConfig config;
  config.type = NumberType::quantile;
  config.num_bits = 4;
  EXPECT_THAT(refusal(config), HasSubstr("type: nf"));
  config = {};
  config.type = NumberType::ternary;
  EXPECT_THAT(refusal(config), HasSubstr("type: ternary"));
  config = {};
  config.symmetric = false;
  config.zero_point_dtype = ZeroPointType::float16;
  EXPECT_THAT(refusal(config), HasSubstr("never stored"));
  config = {};
  config.block_structure = {4, 4};
  EXPECT_THAT(refusal(config), HasSubstr("strategy: block"));
}

TEST(InputPlan, StrategiesThatInputsCannotHave) {
  ActivationConfig config;
  config.strategy = Strategy::tensor;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("strategy: tensor and dynamic: true"), HasSubstr("batch")));
  for (const Strategy strategy : {Strategy::channel, Strategy::block}) {
    config.strategy = strategy;
    EXPECT_THAT(refusal(config), HasSubstr("belong to weights"));
  }
  for (const Strategy strategy : {Strategy::token, Strategy::group}) {
    config = static_inputs();
    config.strategy = strategy;
    EXPECT_THAT(refusal(config), AllOf(HasSubstr("and dynamic: false"), HasSubstr("use strategy: tensor")));
  }
  config = groups_of(16);
  config.scale_dtype = ScaleType::e8m0;
  EXPECT_THAT(refusal(config), HasSubstr("group_size: 32"));
  config = groups_of(16);
  config.format = FloatFormat::e2m1;
  config.scale_dtype = ScaleType::e4m3;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("scale_dtype: e4m3"), HasSubstr("not known at run time")));
  config = static_inputs();
  config.scale_dtype = ScaleType::e8m0;
  EXPECT_THAT(refusal(config), HasSubstr("an MX block is 32 elements of a row"));
}

TEST(InputPlan, KeysOfStaticScalesWithDynamicOnes) {
  ActivationConfig config;
  config.method = InputMethod::fixed;
  EXPECT_THAT(refusal(config), HasSubstr("dynamic: true and method"));
  config = {};
  config.observer = ObserverKind::minmax;
  EXPECT_THAT(refusal(config), HasSubstr("dynamic: true and observer"));
  config = {};
  config.percentile = 99.0;
  EXPECT_THAT(refusal(config), HasSubstr("dynamic: true and percentile"));
  config = static_inputs();
  config.percentile = 99.0;
  EXPECT_THAT(refusal(config), HasSubstr("not observer: percentile"));
}

TEST(InputPlan, MethodsThatDoNotFitTheNumbers) {
  EXPECT_THAT(refusal(static_inputs(InputMethod::lsq_plus)), HasSubstr("lsq_plus and symmetric: true"));
  ActivationConfig config = static_inputs(InputMethod::pact);
  config.format = FloatFormat::e4m3;
  EXPECT_THAT(refusal(config), HasSubstr("pact and type: float"));
  config = static_inputs(InputMethod::pact);
  config.grid = Grid::half;
  EXPECT_THAT(refusal(config), HasSubstr("pact and grid: half"));
  for (const InputMethod method : {InputMethod::fixed, InputMethod::lsq, InputMethod::pact}) {
    config = static_inputs(method);
    config.symmetric = false;
    config.zero_point_dtype = ZeroPointType::float16;
    EXPECT_THAT(refusal(config), HasSubstr("zero_point_dtype: float16"));
  }
}

TEST(InputPlan, LearningNeedsATraining) {
  QuantConfig config;
  config.weights.num_bits = 4;
  EXPECT_FALSE(has_static_inputs(config));
  check_inputs(config);
  config.activations = static_inputs(InputMethod::lsq);
  EXPECT_TRUE(has_static_inputs(config));
  for (const Method method : {Method::rtn, Method::gptq, Method::awq, Method::hqq, Method::omniquant}) {
    config.method = method;
    EXPECT_THAT(message_of([&] { check_inputs(config); }), HasSubstr("could be learned"));
    EXPECT_TRUE(is_calibrated(config));
  }
  for (const Method method : {Method::ste, Method::lsq}) {
    config.method = method;
    check_inputs(config);
    EXPECT_FALSE(is_calibrated(config));
  }
  config.method = Method::rtn;
  config.activations = ActivationConfig{};
  check_inputs(config);
  EXPECT_FALSE(is_calibrated(config));
}

}  // namespace
}  // namespace bitlaw::quant
