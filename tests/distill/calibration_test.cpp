// Post-training quantisation of a small VAR: what every method leaves behind, and how close it stays.
#include "distill/calibration.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "tests/distill/calibrated_var.h"
#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

using quant::Method;
using quant::QuantConfig;
using quant::TransformKind;

std::vector<QuantConfig> all_methods() {
  const auto smooth = TransformKind::smooth, hadamard = TransformKind::hadamard;
  std::vector<QuantConfig> configs = {config_of(Method::gptq, 4),
                                      config_of(Method::awq, 4),
                                      config_of(Method::omniquant, 4),
                                      config_of(Method::rtn, 4, {smooth}),
                                      config_of(Method::rtn, 4, {hadamard}),
                                      config_of(Method::gptq, 4, {smooth, hadamard})};
  QuantConfig ordered = config_of(Method::gptq, 3);
  ordered.calibration.act_order = true;
  ordered.weights.symmetric = false;
  configs.push_back(ordered);
  ordered.calibration.inputs = quant::CalibrationInputs::full;
  ordered.transforms = {smooth};
  configs.push_back(ordered);
  return configs;
}

std::string name_of(const QuantConfig& config) {
  return std::string(data::enum_name(config.method)) + " with " + std::to_string(config.transforms.size()) +
         " transforms";
}

TEST(Calibration, MastersAreTheDeployedWeightsAndHaveTheirCodesAgain) {
  for (const QuantConfig& config : all_methods()) {
    const Quantised result = quantised(config);
    std::size_t count = 0;
    for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
      if (name == "head") continue;
      ASSERT_TRUE(linear->weight_quantizer()) << name;
      EXPECT_TRUE(same_bits(linear->effective_weight(), linear->weight)) << name_of(config) << " " << name;
      const std::vector<float> unpacked = quant::dequantise(linear->weight_quantizer()->pack(linear->weight));
      EXPECT_TRUE(same_bits(at::tensor(unpacked).view(linear->weight.sizes()), linear->weight)) << name;
      ++count;
    }
    EXPECT_EQ(result.layers.size(), count);
  }
}

TEST(Calibration, ALayerThatHasNoCodesIsNamed) {
  QuantConfig config = config_of(Method::rtn, 4);
  config.weights.scale_dtype = quant::ScaleType::float32;
  config.activations.emplace();
  config.activations->dynamic = false;  // so that the layers are walked over
  const auto model = lively_var(lively_shape());
  {
    const at::NoGradGuard no_grad;  // its level is -8 amax / 7.5
    model->named_parameters()["blocks.1.ffn.fc1.weight"][0][0] = -3.4e38;
  }
  quant::prepare(*model, config, quant::ScaleInit::from_weights);
  const VarInputs inputs = lively_inputs(lively_shape(), kSamples);
  EXPECT_THAT(test::message_of([&] { calibrate(*model, config, run_over(*model, inputs, 0, kSamples)); }),
              testing::HasSubstr("blocks.1.ffn.fc1: codes of int4.g16.sym.float32 whose weights have other"));
}

TEST(Calibration, StaysCloseToTheFullPrecisionNetwork) {
  for (QuantConfig config : all_methods()) {
    config.weights.num_bits = 8;
    EXPECT_LT(relative_error(*quantised(config).model), 2e-3) << name_of(config);
  }
}

TEST(Calibration, MethodsThatLookAtInputsBeatRoundToNearest) {
  const double nearest = relative_error(*quantised(config_of(Method::rtn, 3)).model);
  for (const Method method : {Method::gptq, Method::awq, Method::omniquant}) {
    EXPECT_LT(relative_error(*quantised(config_of(method, 3)).model), nearest) << data::enum_name(method);
  }
}

TEST(Calibration, ASavedStateGivesTheSameNetworkAgain) {
  for (const QuantConfig& config : all_methods()) {
    const Quantised result = quantised(config);
    const auto again = std::make_shared<Var>(lively_shape());
    quant::prepare(*again, config, quant::ScaleInit::left_for_load);
    quant::load_state(*again, quant::state_of(*result.model, quant::StateScope::checkpoint));
    EXPECT_TRUE(same_bits(logits(*again), logits(*result.model))) << name_of(config);
  }
}

TEST(Calibration, APackedModelGivesTheSameLogits) {
  for (const QuantConfig& config : all_methods()) {
    const Quantised result = quantised(config);
    const auto plain = std::make_shared<Var>(lively_shape());
    quant::load_packed(*plain, quant::pack_model(*result.model, config.rest_dtype));
    EXPECT_TRUE(same_bits(logits(*plain), logits(*result.model))) << name_of(config);
  }
}

// Multipliers far from 1 go into AdaLN layers whose biases are deployed in bfloat16: as good as in float32.
TEST(Calibration, FoldsAsWellIntoRoundedBiases) {
  const auto error = [](quant::RestType rest_dtype) {
    QuantConfig config = config_of(Method::rtn, 8, {TransformKind::smooth});
    config.rest_dtype = rest_dtype;
    const auto uneven = [] {
      const auto model = lively_var(lively_shape());
      const at::NoGradGuard no_grad;
      for (const auto& [name, linear] : quant::linear_layers(*model)) {
        if (name.ends_with("mat_qkv") || name.ends_with("fc1")) {
          linear->weight.mul_((at::randn({linear->weight.size(1)}) * 2.0).exp() * 0.02);
        }
      }
      return model;
    };
    const auto model = uneven(), full = uneven();
    full->apply([rest_dtype](torch::nn::Module& module) {
      if (auto* layer = dynamic_cast<quant::Layer*>(&module)) layer->set_rest_dtype(rest_dtype);
    });
    quant::prepare(*model, config, quant::ScaleInit::from_weights);
    const VarInputs inputs = lively_inputs(lively_shape(), kSamples);
    calibrate(*model, config, run_over(*model, inputs, 0, kSamples));
    const at::Tensor expected = logits(*full);
    return ((logits(*model) - expected).square().sum() / expected.square().sum()).item<double>();
  };
  EXPECT_LT(error(quant::RestType::bfloat16), 2.0 * error(quant::RestType::float32));
}

TEST(Calibration, OnlyWhatNothingAbsorbsKeepsItsMultiplier) {
  const Quantised result = quantised(config_of(Method::rtn, 4, {TransformKind::smooth}));
  for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
    if (name == "head") continue;
    const bool absorbed = name.find("mat_qkv") != std::string::npos ||
                          name.find("proj") != std::string::npos || name.find("fc1") != std::string::npos;
    EXPECT_EQ(linear->weight_quantizer()->pack(linear->weight).input_multiplier.empty(), absorbed) << name;
  }
}

QuantConfig with_static_inputs(QuantConfig config, std::int64_t bits = 8) {
  config.activations.emplace();
  config.activations->dynamic = false;
  config.activations->num_bits = bits;
  config.activations->symmetric = false;
  return config;
}

TEST(StaticInputs, EveryMethodLeavesScalesThatAreStored) {
  for (QuantConfig config : all_methods()) {
    config = with_static_inputs(config);
    config.weights.num_bits = 8;
    const Quantised result = quantised(config);
    EXPECT_LT(relative_error(*result.model), 6e-3) << name_of(config);
    const auto plain = std::make_shared<Var>(lively_shape());
    const quant::PackedModel packed = quant::pack_model(*result.model, config.rest_dtype);
    quant::load_packed(*plain, packed);
    EXPECT_TRUE(same_bits(logits(*plain), logits(*result.model))) << name_of(config);
    EXPECT_EQ(packed.activations.size(), packed.weights.size());
    const auto again = std::make_shared<Var>(lively_shape());
    quant::prepare(*again, config, quant::ScaleInit::left_for_load);
    quant::load_state(*again, quant::state_of(*result.model, quant::StateScope::checkpoint));
    EXPECT_TRUE(same_bits(logits(*again), logits(*result.model))) << name_of(config);
  }
}

TEST(StaticInputs, WeightsAreThoseWithoutThem) {
  for (const QuantConfig& config : all_methods()) {
    QuantConfig full = config;
    full.calibration.inputs = quant::CalibrationInputs::full;
    const Quantised plain = quantised(full), with_inputs = quantised(with_static_inputs(full));
    const auto ours = quant::linear_layers(*with_inputs.model), theirs = quant::linear_layers(*plain.model);
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_TRUE(same_bits(ours[i].second->weight, theirs[i].second->weight)) << name_of(full);
    }
  }
  const QuantConfig nearest = config_of(Method::rtn, 4);  // rounded in the walk, or by the quantizers
  const Quantised walked = quantised(with_static_inputs(nearest)), plain = quantised(nearest);
  const auto ours = quant::linear_layers(*walked.model), theirs = quant::linear_layers(*plain.model);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    EXPECT_TRUE(same_bits(ours[i].second->effective_weight(), theirs[i].second->effective_weight()));
  }
}

// The scale of a layer's input by hand: its extremes in the network that is quantised up to it.
TEST(StaticInputs, AreTheExtremesBehindTheQuantisedBlocks) {
  QuantConfig config = with_static_inputs(config_of(Method::rtn, 4));
  config.activations->observer = quant::ObserverKind::minmax;
  config.activations->symmetric = true;
  const Quantised result = quantised(config);
  for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
    // Of its block only the AdaLN layer is before it, whose input was not yet rounded.
    if (name != "blocks.1.attn.mat_qkv") continue;
    float amax = 0.0F;
    linear->set_input_observer(
        [&amax](const at::Tensor& x) { amax = std::max(amax, x.abs().max().item<float>()); });
    logits(*result.model);
    linear->set_input_observer(nullptr);
    const float scale = linear->input_quantizer()->grid().scale;
    EXPECT_NEAR(scale, amax / 127.5F, 0.02F * scale);
  }
}

TEST(Calibration, AnInputThatNeverChangesIsRefusedByName) {
  const QuantConfig config = config_of(Method::gptq, 4);
  const VarShape shape = lively_shape();
  const auto model = lively_var(shape);
  quant::prepare(*model, config, quant::ScaleInit::from_weights);
  VarInputs inputs = lively_inputs(shape, kSamples);
  inputs.labels_B.fill_(2);  // AdaLN layers see the class alone
  try {
    calibrate(*model, config, run_over(*model, inputs, 0, kSamples));
    FAIL();
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("ada_lin.1: the layer's input is the same for every"));
    EXPECT_THAT(error.what(), testing::HasSubstr("quant.calibration.samples"));
  }
}

TEST(Calibration, TableNamesEveryLayer) {
  const Quantised result = quantised(config_of(Method::awq, 4));
  const std::string table = to_string(result.layers);
  for (const std::string name :
       {"blocks.0.ada_lin.1", "blocks.1.ffn.fc2", "head_nm.ada_lin.1", "folded", "kept"}) {
    EXPECT_THAT(table, testing::HasSubstr(name));
  }
}

}  // namespace
}  // namespace bitlaw::distill
