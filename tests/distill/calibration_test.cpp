// Post-training quantisation of a small VAR: what every method leaves behind, and how close it stays.
#include "distill/calibration.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <cstring>
#include <thread>

#include "data/formats/input_error.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "tests/distill/lively_var.h"

namespace bitlaw::distill {
namespace {

using quant::Method;
using quant::QuantConfig;
using quant::TransformKind;

constexpr std::int64_t kSamples = 24;

QuantConfig config_of(Method method, std::int64_t bits, std::vector<TransformKind> transforms = {}) {
  QuantConfig config;
  config.method = method;
  config.scale_search = quant::ScaleSearch::absmax;
  config.transforms = std::move(transforms);
  config.weights.num_bits = bits;
  config.weights.group_size = 16;
  config.ignore = {"head"};
  config.calibration.clip_steps = 20;
  return config;
}

// The samples of this rank, and a reduction that adds what the other ranks saw.
CalibrationRun run_over(Var& model, const VarInputs& inputs, std::int64_t first, std::int64_t last) {
  CalibrationRun run;
  run.forward = [&model, inputs, first, last](std::int64_t blocks) {
    const at::NoGradGuard no_grad;
    for (std::int64_t i = first; i < last; i += 4) {
      const at::Tensor labels = inputs.labels_B.slice(0, i, std::min(last, i + 4));
      const at::Tensor features = inputs.var_input_BLE.slice(0, i, std::min(last, i + 4));
      if (blocks > model.shape().depth) {
        model.forward(labels, features);
      } else {
        model.forward_blocks(labels, features, blocks);
      }
    }
  };
  run.reduce = [](const quant::Statistics& mine) { return mine; };
  return run;
}

struct Quantised {
  std::shared_ptr<Var> model;
  std::vector<CalibratedLayer> layers;
};

Quantised quantised(const QuantConfig& config, const VarShape& shape = lively_shape()) {
  Quantised result{lively_var(shape), {}};
  quant::prepare(*result.model, config, quant::ScaleInit::from_weights);
  if (quant::is_calibrated(config)) {
    const VarInputs inputs = lively_inputs(shape, kSamples);
    result.layers = calibrate(*result.model, config, run_over(*result.model, inputs, 0, kSamples));
  }
  return result;
}

at::Tensor logits(Var& model) {
  const at::NoGradGuard no_grad;
  const VarInputs inputs = lively_inputs(model.shape(), kSamples);
  return model.forward(inputs.labels_B, inputs.var_input_BLE);
}

double relative_error(Var& model) {
  const auto full = lively_var(model.shape());
  full->apply([](torch::nn::Module& module) {
    if (auto* layer = dynamic_cast<quant::Layer*>(&module)) layer->set_rest_dtype(quant::RestType::bfloat16);
  });
  const at::Tensor expected = logits(*full);
  return ((logits(model) - expected).square().sum() / expected.square().sum()).item<double>();
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.sizes() == y.sizes() && std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

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

TEST(Calibration, OnlyWhatNothingAbsorbsKeepsItsMultiplier) {
  const Quantised result = quantised(config_of(Method::rtn, 4, {TransformKind::smooth}));
  for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
    if (name == "head") continue;
    const bool absorbed = name.find("mat_qkv") != std::string::npos ||
                          name.find("proj") != std::string::npos || name.find("fc1") != std::string::npos;
    EXPECT_EQ(linear->weight_quantizer()->pack(linear->weight).input_multiplier.empty(), absorbed) << name;
  }
}

TEST(Calibration, RanksThatShareTheSamplesFindTheSameCodes) {
  QuantConfig config = config_of(Method::gptq, 3);
  config.activations.emplace();
  config.activations->dynamic = false;
  const VarInputs inputs = lively_inputs(lively_shape(), kSamples);
  std::array<std::shared_ptr<Var>, 2> models = {lively_var(lively_shape()), lively_var(lively_shape())};
  std::array<quant::Statistics, 2> seen;
  std::barrier meet(2);
  const auto run_rank = [&](std::size_t rank) {
    Var& model = *models.at(rank);
    quant::prepare(model, config, quant::ScaleInit::from_weights);
    const auto first = static_cast<std::int64_t>(rank) * kSamples / 2;
    CalibrationRun run = run_over(model, inputs, first, first + kSamples / 2);
    run.reduce = [&, rank](const quant::Statistics& mine) {
      seen.at(rank) = mine;
      meet.arrive_and_wait();
      quant::Statistics all;
      all.merge(seen[0]);
      all.merge(seen[1]);
      meet.arrive_and_wait();
      return all;
    };
    calibrate(model, config, run);
  };
  std::thread other(run_rank, 1);
  run_rank(0);
  other.join();
  EXPECT_TRUE(same_bits(logits(*models[0]), logits(*models[1])));
  EXPECT_TRUE(same_bits(logits(*models[0]), logits(*quantised(config).model)));
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
  for (const std::string name : {"blocks.0.ada_lin.1", "blocks.1.ffn.fc2", "head_nm.ada_lin.1", "folded"}) {
    EXPECT_THAT(table, testing::HasSubstr(name));
  }
}

}  // namespace
}  // namespace bitlaw::distill
