// Students that start from quantised models, and widths that fall: what is taken over, what is refused.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/input_observation.h"
#include "quant/prepare.h"
#include "tests/distill/tiny_inputs.h"

namespace bitlaw::distill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A student of the teacher's weights, rounded to `bits` bits, as a model to start from.
SourceModel rounded_source(std::int64_t bits) {
  SourceModel source = *distill_inputs().teacher;
  source.origin = "runs/rounded";
  const auto model = tiny::make_var(1);
  quant::QuantConfig config;
  config.method = quant::Method::rtn;
  config.weights.num_bits = bits;
  config.weights.group_size = 16;
  config.ignore = {"head"};
  quant::prepare(*model, config, quant::ScaleInit::from_weights);
  source.weights = quant::pack_model(*model, quant::RestType::bfloat16).weights;
  for (const auto& [name, weight] : source.weights) {
    source.specs.emplace(name, weight.spec);
  }
  return source;
}

constexpr const char* kInputs = "int8.tensor.sym";

// The same, made for inputs of known static scales: each layer has its own.
SourceModel source_with_inputs() {
  SourceModel source = rounded_source(4);
  float scale = 0x1p-7F;
  for (const auto& [name, weight] : source.weights) {
    source.activations.emplace(name, quant::PackedInput(quant::QuantSpec::parse(kInputs), scale, {}));
    scale += 0x1p-12F;
  }
  return source;
}

TaskInputs inputs_from(const SourceModel& source, quant::Method method) {
  TaskInputs inputs = distill_inputs();
  inputs.model.init = source.origin;
  inputs.init = source;
  inputs.quant.method = method;
  inputs.quant.weights.num_bits = 4;
  inputs.quant.weights.group_size = 16;
  inputs.quant.ignore = {"head"};
  return inputs;
}

TEST(QuantisedStart, AModelThatIsQuantisedOtherwiseIsNoStart) {
  using quant::Method;
  for (const Method method : {Method::lsq, Method::rtn, Method::e2e_qp}) {
    EXPECT_EQ(refusal(inputs_from(rounded_source(4), method)), "accepted");
    const std::string message = refusal(inputs_from(rounded_source(3), method));
    EXPECT_THAT(message, AllOf(HasSubstr("runs/rounded"), HasSubstr("blocks.0.attn.mat_qkv"),
                               HasSubstr("int3.g16.sym"), HasSubstr("int4.g16.sym")));
  }
  TaskInputs inputs = inputs_from(rounded_source(4), Method::lsq);
  inputs.quant.ignore = {"head", "*.fc2"};
  EXPECT_THAT(refusal(inputs), HasSubstr("fc2: int4.g16.sym there, not quantised here"));
  inputs = inputs_from(rounded_source(3), Method::lsq);
  inputs.resume = true;  // its own state comes
  EXPECT_EQ(refusal(inputs), "accepted");
}

TEST(QuantisedStart, FrozenCodesNeedCodes) {
  TaskInputs inputs = inputs_from(rounded_source(4), quant::Method::e2e_qp);
  inputs.init->weights.clear();
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("nothing there has codes"), HasSubstr("bitlaw ptq")));
}

TEST(QuantisedStart, FrozenCodesAreTakenOverAndScalesAloneAreTrained) {
  const SourceModel source = rounded_source(4);
  const MadeTask made = make_task(inputs_from(source, quant::Method::e2e_qp));
  for (const NamedParameter& parameter : made.task->parameters()) {
    EXPECT_EQ(parameter.role, ParameterRole::quantizer_scale) << parameter.name;
  }
  made.task->loss(tiny::token_batch(0, 4)).total.backward();
  tiny::Adam(made.task->parameters(), 0.05).step();
  const auto packed = quant::pack_model(made.task->model(), quant::RestType::bfloat16);
  for (const auto& [name, weight] : source.weights) {
    EXPECT_EQ(packed.weights.at(name).codes, weight.codes) << name;
    EXPECT_NE(packed.weights.at(name).scale, weight.scale) << name;
  }
}

TaskInputs frozen_inputs(const SourceModel& source, quant::InputMethod method) {
  TaskInputs inputs = inputs_from(source, quant::Method::e2e_qp);
  inputs.quant.activations.emplace();
  inputs.quant.activations->dynamic = false;
  inputs.quant.activations->method = method;
  return inputs;
}

TEST(QuantisedStart, ScalesOfInputsComeWithTheCodes) {
  const SourceModel source = source_with_inputs();
  using quant::InputMethod;
  for (const InputMethod method : {InputMethod::fixed, InputMethod::lsq, InputMethod::pact}) {
    const MadeTask made = make_task(frozen_inputs(source, method));
    const auto packed = quant::pack_model(made.task->model(), quant::RestType::bfloat16);
    EXPECT_EQ(packed.activations, source.activations);
    EXPECT_TRUE(quant::InputObservation(quant::linear_layers(made.task->model())).empty());
  }
  // From codes without inputs, they are still to be observed.
  const MadeTask made = make_task(frozen_inputs(rounded_source(4), InputMethod::lsq));
  EXPECT_FALSE(quant::InputObservation(quant::linear_layers(made.task->model())).empty());
}

TEST(QuantisedStart, InputsOfAnotherSpecAreRefused) {
  const SourceModel source = source_with_inputs();
  TaskInputs inputs = frozen_inputs(source, quant::InputMethod::fixed);
  inputs.quant.activations->num_bits = 6;
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr("runs/rounded"), HasSubstr("blocks.0.attn.mat_qkv: inputs of"),
                                     HasSubstr(kInputs), HasSubstr("int6.tensor.sym")));
  inputs.quant.activations.reset();
  EXPECT_THAT(refusal(inputs), AllOf(HasSubstr(kInputs), HasSubstr("leaves them unquantised")));
}

TEST(QuantisedStart, ScalesOfInputsAreTrainedWithFrozenCodes) {
  using quant::InputMethod;
  const SourceModel source = source_with_inputs();
  for (const InputMethod method : {InputMethod::fixed, InputMethod::lsq, InputMethod::pact}) {
    const MadeTask made = make_task(frozen_inputs(source, method));
    made.task->loss(tiny::token_batch(0, 4)).total.backward();
    tiny::Adam(made.task->parameters(), 0.05).step();
    const auto packed = quant::pack_model(made.task->model(), quant::RestType::bfloat16);
    std::size_t trained = 0;
    for (const auto& [name, weight] : source.weights) {
      EXPECT_EQ(packed.weights.at(name).codes, weight.codes) << name;
      trained += packed.activations.at(name) != source.activations.at(name) ? 1U : 0U;
    }
    // PACT's range has a gradient where inputs are clipped alone.
    const std::size_t least = method == InputMethod::lsq ? source.weights.size() : 1;
    EXPECT_GE(trained, method == InputMethod::fixed ? 0 : least) << data::enum_name(method);
    EXPECT_LE(trained, method == InputMethod::fixed ? 0 : source.weights.size()) << data::enum_name(method);
  }
}

TEST(QuantisedStart, WidthsFallBetweenSteps) {
  TaskInputs inputs = distill_inputs();
  inputs.quant.method = quant::Method::lsq;
  inputs.quant.weights.num_bits = 3;
  inputs.quant.weights.group_size = 16;
  inputs.quant.progressive = {{8, 4}, {10, 20}};
  const auto bits = [](Task& task) {
    return quant::linear_layers(task.model()).front().second->weight_quantizer()->spec().bits();
  };
  const MadeTask made = make_task(inputs);
  EXPECT_EQ(bits(*made.task), 8);
  EXPECT_TRUE(made.task->begin_step(9).names.empty());
  const Restart restart = made.task->begin_step(10);
  EXPECT_EQ(restart.names.size(), quant::linear_layers(made.task->model()).size());
  EXPECT_THAT(restart.text, HasSubstr("4 bits"));
  EXPECT_EQ(bits(*made.task), 4);
  made.task->begin_step(20);
  EXPECT_EQ(bits(*made.task), 3);
  inputs.step = 15;  // as a checkpoint of that step has it
  EXPECT_EQ(bits(*make_task(inputs).task), 4);
}

}  // namespace
}  // namespace bitlaw::distill
