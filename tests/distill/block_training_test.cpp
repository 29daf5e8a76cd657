// Block-AP on a small VAR: better than rounding, equal to rounding without learning, the same on all ranks.
#include "distill/block_training.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>

#include "quant/containers/model_state.h"
#include "quant/input_observation.h"
#include "quant/prepare.h"
#include "tests/distill/lively_var.h"
#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

constexpr std::int64_t kSamples = 16;
constexpr std::int64_t kBatch = 4;

quant::QuantConfig config_of(std::int64_t bits, bool symmetric = false) {
  quant::QuantConfig config;
  config.method = quant::Method::block_ap;
  config.scale_search = quant::ScaleSearch::absmax;
  config.weights.num_bits = bits;
  config.weights.group_size = 16;
  config.weights.symmetric = symmetric;
  config.ignore = {"head"};
  config.calibration.block_epochs = 5;
  config.calibration.block_lr = 3e-3;
  config.calibration.block_scale_lr = 1e-2;
  return config;
}

// The part of one of `ranks` ranks of every batch.
BlockSamples samples_of(const VarShape& shape, std::int64_t rank = 0, std::int64_t ranks = 1) {
  const VarInputs inputs = lively_inputs(shape, kSamples);
  BlockSamples samples;
  samples.batches = kSamples / kBatch;
  samples.part = [=](std::int64_t i) {
    const std::int64_t first = i * kBatch + rank * kBatch / ranks,
                       last = i * kBatch + (rank + 1) * kBatch / ranks;
    return std::optional<TokenInput>(
        {inputs.labels_B.slice(0, first, last), {}, inputs.var_input_BLE.slice(0, first, last)});
  };
  samples.reduce = [](const quant::Statistics& mine) { return mine; };
  return samples;
}

struct Result {
  std::shared_ptr<Var> model;
  std::vector<TrainedBlock> blocks;
};

Result trained(const quant::QuantConfig& config, const VarShape& shape = lively_shape()) {
  Result result{lively_var(shape), {}};
  quant::prepare(*result.model, config, quant::ScaleInit::from_weights);
  result.blocks = train_blocks(*result.model, config, samples_of(shape));
  return result;
}

std::shared_ptr<Var> rounded(quant::QuantConfig config) {
  config.method = quant::Method::rtn;
  auto model = lively_var(lively_shape());
  quant::prepare(*model, config, quant::ScaleInit::from_weights);
  return model;
}

at::Tensor logits(Var& model) {
  const at::NoGradGuard no_grad;
  const VarInputs inputs = lively_inputs(model.shape(), kSamples);
  return model.forward(inputs.labels_B, inputs.var_input_BLE);
}

double distance(Var& model) {
  return (logits(model) - logits(*lively_var(lively_shape()))).square().mean().item<double>();
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().contiguous(), y = b.detach().contiguous();
  return x.sizes() == y.sizes() && std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

TEST(BlockTraining, EveryBlockComesCloserThanByRounding) {
  for (const bool symmetric : {false, true}) {
    const quant::QuantConfig config = config_of(2, symmetric);
    const Result result = trained(config);
    ASSERT_EQ(result.blocks.size(), 2U);
    for (const TrainedBlock& block : result.blocks) {
      EXPECT_LT(block.last_loss, 0.7 * block.first_loss) << block.name << to_string(result.blocks);
    }
    EXPECT_LT(distance(*result.model), distance(*rounded(config)));
  }
}

TEST(BlockTraining, MastersAreTheDeployedWeightsAndHaveTheirCodesAgain) {
  const quant::QuantConfig config = config_of(3);
  const Result result = trained(config);
  for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
    if (name == "head") continue;
    EXPECT_EQ(linear->weight_quantizer()->method(), quant::Method::block_ap) << name;
    EXPECT_TRUE(same_bits(linear->effective_weight(), linear->weight)) << name;
    EXPECT_TRUE(linear->weight.requires_grad()) << name;
  }
  const auto again = std::make_shared<Var>(lively_shape());
  quant::prepare(*again, config, quant::ScaleInit::left_for_load);
  quant::load_state(*again, quant::state_of(*result.model, quant::StateScope::checkpoint));
  EXPECT_TRUE(same_bits(logits(*again), logits(*result.model)));
}

TEST(BlockTraining, WithoutLearningItIsRoundToNearest) {
  for (const bool symmetric : {false, true}) {
    quant::QuantConfig config = config_of(3, symmetric);
    config.calibration.block_epochs = 1;
    config.calibration.block_lr = 1e-30;
    config.calibration.block_scale_lr = 0.0;
    const Result result = trained(config);
    const auto nearest = rounded(config);
    const auto theirs = quant::linear_layers(*nearest);
    std::size_t i = 0;
    for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
      EXPECT_TRUE(same_bits(linear->effective_weight(), theirs.at(i++).second->effective_weight())) << name;
    }
    EXPECT_NEAR(result.blocks[1].last_loss, result.blocks[1].first_loss, 1e-6 * result.blocks[1].first_loss);
  }
}

// The first block's inputs are in full precision: its loss is that of two networks computed here.
TEST(BlockTraining, LossesAreMeanSquareErrorsOfTheBlocksOutputs) {
  const quant::QuantConfig config = config_of(4);
  const Result result = trained(config);
  const VarInputs inputs = lively_inputs(lively_shape(), kSamples);
  const at::NoGradGuard no_grad;
  const auto full = lively_var(lively_shape());
  for (std::int64_t block = 0; block < 2; ++block) {
    const at::Tensor expected = full->forward_blocks(inputs.labels_B, inputs.var_input_BLE, block + 1);
    const at::Tensor given = result.model->forward_blocks(inputs.labels_B, inputs.var_input_BLE, block + 1);
    const double loss = (given - expected).square().mean().item<double>();
    EXPECT_NEAR(result.blocks.at(static_cast<std::size_t>(block)).last_loss, loss, 1e-4 * loss);
  }
}

quant::QuantConfig with_inputs(bool dynamic) {
  quant::QuantConfig config = config_of(3);
  config.activations.emplace();
  config.activations->num_bits = 4;
  config.activations->dynamic = dynamic;
  if (!dynamic) {
    config.activations->observer = quant::ObserverKind::percentile;
    config.activations->percentile = 99.0;
  }
  return config;
}

TEST(BlockTraining, DynamicInputsAreQuantisedWhileABlockTrains) {
  const Result result = trained(with_inputs(true));
  const auto plain = trained(config_of(3));
  EXPECT_FALSE(same_bits(result.model->named_parameters()["blocks.0.ffn.fc1.weight"],
                         plain.model->named_parameters()["blocks.0.ffn.fc1.weight"]));
  const VarInputs inputs = lively_inputs(lively_shape(), kSamples);
  const at::NoGradGuard no_grad;
  const at::Tensor expected =
      lively_var(lively_shape())->forward_blocks(inputs.labels_B, inputs.var_input_BLE, 1);
  const at::Tensor given = result.model->forward_blocks(inputs.labels_B, inputs.var_input_BLE, 1);
  const double loss = (given - expected).square().mean().item<double>();
  EXPECT_NEAR(result.blocks[0].last_loss, loss, 1e-4 * loss);
  EXPECT_GT(loss, plain.blocks[0].last_loss);
}

TEST(BlockTraining, StaticInputsWaitForTheirObservationBehindTheTrainedWeights) {
  const Result result = trained(with_inputs(false));
  const auto plain = trained(config_of(3));
  const auto theirs = quant::linear_layers(*plain.model);
  std::size_t i = 0;
  for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
    EXPECT_TRUE(same_bits(linear->effective_weight(), theirs.at(i++).second->effective_weight())) << name;
    if (name == "head") continue;
    ASSERT_TRUE(linear->input_quantizer()) << name;
    EXPECT_FALSE(linear->input_quantizer()->is_known()) << name;
    EXPECT_EQ(linear->input_quantizer()->plan().observer.kind, quant::ObserverKind::percentile) << name;
    EXPECT_EQ(linear->input_quantizer()->plan().observer.percentile, 99.0) << name;
  }
  {
    const quant::InputObservation observation(quant::linear_layers(*result.model));
    EXPECT_TRUE(same_bits(logits(*result.model), logits(*plain.model)));  // as they come, and counted
    observation.adopt(observation.seen());
  }
  EXPECT_FALSE(same_bits(logits(*result.model), logits(*plain.model)));
  EXPECT_TRUE(at::isfinite(logits(*result.model)).all().item<bool>());
}

TEST(BlockTraining, AWeightWithoutCodesIsNamedWithItsLayer) {
  for (const std::string layer : {"blocks.1.ffn.fc1", "head"}) {
    quant::QuantConfig config = config_of(3);
    config.ignore.clear();
    const auto model = lively_var(lively_shape());
    {
      const at::NoGradGuard no_grad;
      model->named_parameters()[layer + ".weight"][1][2] = NAN;
    }
    quant::prepare(*model, config, quant::ScaleInit::from_weights);
    EXPECT_THAT(test::message_of([&] { train_blocks(*model, config, samples_of(lively_shape())); }),
                testing::HasSubstr(layer + ": the weight holds NaN"));
  }
}

TEST(BlockTraining, RanksThatShareTheBatchesStayEqual) {
  const quant::QuantConfig config = config_of(3);
  std::array<std::shared_ptr<Var>, 2> models = {lively_var(lively_shape()), lively_var(lively_shape())};
  std::array<std::vector<TrainedBlock>, 2> blocks;
  std::array<quant::Statistics, 2> seen;
  std::barrier meet(2);
  std::array<BlockSamples, 2> samples = {samples_of(lively_shape(), 0, 2), samples_of(lively_shape(), 1, 2)};
  for (const auto& model : models) quant::prepare(*model, config, quant::ScaleInit::from_weights);
  const auto run_rank = [&](std::size_t rank) {
    samples.at(rank).reduce = [&, rank](const quant::Statistics& mine) {
      seen.at(rank) = mine;
      meet.arrive_and_wait();
      quant::Statistics all;
      all.merge(seen[0]);
      all.merge(seen[1]);
      meet.arrive_and_wait();
      return all;
    };
    blocks.at(rank) = train_blocks(*models.at(rank), config, samples.at(rank));
  };
  std::thread other(run_rank, 1);
  run_rank(0);
  other.join();
  EXPECT_TRUE(same_bits(logits(*models[0]), logits(*models[1])));
  // Another order of sums, the same course.
  const Result alone = trained(config);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(blocks[0].at(i).last_loss, blocks[1].at(i).last_loss);
    EXPECT_NEAR(blocks[0].at(i).first_loss, alone.blocks.at(i).first_loss,
                0.05 * alone.blocks.at(i).first_loss);
    EXPECT_LT(blocks[0].at(i).last_loss, blocks[0].at(i).first_loss);
  }
}

TEST(BlockTraining, ASharedAdaLnLayerIsRounded) {
  VarShape shape = lively_shape();
  shape.shared_ada_lin = true;
  quant::QuantConfig config = config_of(4);
  const Result result = trained(config, shape);
  EXPECT_EQ(result.blocks.size(), 2U);
  for (const auto& [name, linear] : quant::linear_layers(*result.model)) {
    EXPECT_EQ(linear->weight_quantizer() != nullptr, name != "head") << name;
  }
}

}  // namespace
}  // namespace bitlaw::distill
