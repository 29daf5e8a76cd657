// Ranks that calibrate one model together hold the same codes, whatever their libraries do to last bits.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

#include "data/formats/input_error.h"
#include "distill/calibration.h"
#include "distill/quantise_weights.h"
#include "quant/containers/model_state.h"
#include "tests/distill/calibrated_var.h"

namespace bitlaw::distill {
namespace {

using quant::Method;
using quant::QuantConfig;

// Two ranks that meet in every collective call.
class TwoRanks {
 public:
  RankGroup group(int rank) {
    return {rank, 2, [this, rank](const at::Tensor& bytes, int owner) {
              if (rank == owner) bytes_ = bytes.clone();
              meet_.arrive_and_wait();
              const at::Tensor found = bytes_.clone();
              meet_.arrive_and_wait();
              return found;
            }};
  }
  quant::Statistics merged(int rank, const quant::Statistics& mine) {
    seen_.at(static_cast<std::size_t>(rank)) = mine;
    meet_.arrive_and_wait();
    quant::Statistics all;
    all.merge(seen_[0]);
    all.merge(seen_[1]);
    meet_.arrive_and_wait();
    return all;
  }
  static void run(const std::function<void(int)>& rank) {
    std::thread other(rank, 1);
    rank(0);
    other.join();
  }

 private:
  std::array<quant::Statistics, 2> seen_;
  at::Tensor bytes_;
  std::barrier<> meet_{2};
};

// Both ranks' models after a calibration in which rank 1 sees sums that are off by `error`.
std::array<std::shared_ptr<Var>, 2> calibrated(const QuantConfig& config, double error) {
  std::array<std::shared_ptr<Var>, 2> models = {lively_var(lively_shape()), lively_var(lively_shape())};
  const VarInputs inputs = lively_inputs(lively_shape(), kSamples);
  TwoRanks ranks;
  TwoRanks::run([&](int rank) {
    Var& model = *models.at(static_cast<std::size_t>(rank));
    quant::prepare(model, config, quant::ScaleInit::from_weights);
    const std::int64_t first = rank * kSamples / 2;
    CalibrationRun run = run_over(model, inputs, first, first + kSamples / 2);
    run.ranks = ranks.group(rank);
    run.reduce = [&, rank](const quant::Statistics& mine) {
      quant::Statistics all = ranks.merged(rank, mine);
      for (auto& [name, entry] : all.entries()) {
        if (rank == 1 && name.ends_with("/gram")) {
          const at::Tensor off =
              error * entry.value.diagonal().mean() * at::ones({entry.value.size(0)}, at::kDouble);
          entry.value = entry.value + off.diag();
        }
      }
      return all;
    };
    calibrate(model, config, run);
  });
  return models;
}

QuantConfig gptq_config() {
  return config_of(Method::gptq, 3);
}

TEST(CalibrationRanks, WhatTheyFindIsWhatOneRankFinds) {
  QuantConfig config = gptq_config();
  config.activations.emplace();
  config.activations->dynamic = false;
  const auto models = calibrated(config, 0.0);
  EXPECT_TRUE(same_bits(logits(*models[0]), logits(*models[1])));
  EXPECT_TRUE(same_bits(logits(*models[0]), logits(*quantised(config).model)));
}

TEST(CalibrationRanks, HoldTheSameCodesWhereTheirSumsDiffer) {
  const auto models = calibrated(gptq_config(), 0.05);
  EXPECT_EQ(quant::parameter_hash(*models[0]), quant::parameter_hash(*models[1]));
  // The sums do matter: rank 1 made some of the layers.
  EXPECT_NE(quant::parameter_hash(*models[0]), quant::parameter_hash(*calibrated(gptq_config(), 0.0)[0]));
}

TEST(CalibrationRanks, ShareTheLayersThatNeedNoSamples) {
  QuantConfig config = config_of(Method::hqq, 4);
  config.weights.symmetric = false;
  config.weights.zero_point_dtype = quant::ZeroPointType::float16;
  const auto alone = lively_var(lively_shape());
  quant::prepare(*alone, config, quant::ScaleInit::from_weights);
  const auto expected = quantise_weights(*alone, config);
  // Made before the threads, which would share one generator of random numbers.
  const std::array<std::shared_ptr<Var>, 2> models = {lively_var(lively_shape()), lively_var(lively_shape())};
  TwoRanks ranks;
  TwoRanks::run([&](int rank) {
    const std::shared_ptr<Var>& model = models.at(static_cast<std::size_t>(rank));
    quant::prepare(*model, config, quant::ScaleInit::from_weights);
    const auto layers = quantise_weights(*model, config, ranks.group(rank));
    EXPECT_EQ(layers.size(), expected.size());
    EXPECT_EQ(quant::parameter_hash(*model), quant::parameter_hash(*alone));
  });
}

TEST(SharedCodes, DivideTheWorkAndShareAnError) {
  TwoRanks ranks;
  std::array<std::vector<std::int64_t>, 2> made;
  TwoRanks::run([&](int rank) {
    const auto make = [&](std::int64_t i) {
      made.at(static_cast<std::size_t>(rank)).push_back(i);
      quant::LayerCodes codes;
      codes.codes = at::full({2, 3}, i, at::kByte);
      codes.scale = at::full({2, 1}, 0.1F * static_cast<float>(i));
      if (i == 2) codes.global_scale = 0x1p-20F;
      if (i == 1) codes.group_index = at::arange(3, at::kInt);
      codes.hadamard_block = i;
      return codes;
    };
    const auto found = shared_codes(3, make, ranks.group(rank));
    ASSERT_EQ(found.size(), 3U);
    for (std::int64_t i = 0; i < 3; ++i) {
      const quant::LayerCodes& codes = found[static_cast<std::size_t>(i)];
      EXPECT_TRUE(codes.codes.eq(i).all().item<bool>());
      EXPECT_TRUE(at::equal(codes.scale, at::full({2, 1}, 0.1F * static_cast<float>(i))));
      EXPECT_EQ(codes.global_scale.has_value(), i == 2);
      EXPECT_EQ(codes.group_index.defined(), i == 1);
      EXPECT_FALSE(codes.zero_point.defined());
      EXPECT_EQ(codes.hadamard_block, i);
    }
    try {
      shared_codes(
          2,
          [&](std::int64_t i) {
            if (i == 1) throw data::InputError("layer 1: no");
            return quant::LayerCodes();
          },
          ranks.group(rank));
      ADD_FAILURE() << rank;
    } catch (const data::InputError& error) {
      EXPECT_STREQ(error.what(), "layer 1: no");
    }
  });
  EXPECT_EQ(made[0], (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(made[1], std::vector<std::int64_t>{1});
}

// Memory that is short, or a bug, on one rank: the others do not wait for its codes.
TEST(SharedCodes, AFailureOfOneRankEndsAll) {
  TwoRanks ranks;
  TwoRanks::run([&](int rank) {
    const auto make = [](std::int64_t i) {
      if (i == 1) throw std::out_of_range("no memory of it");
      quant::LayerCodes codes;
      codes.codes = at::zeros({1, 1}, at::kByte);
      codes.scale = at::ones({1, 1});
      return codes;
    };
    try {
      shared_codes(2, make, ranks.group(rank));
      ADD_FAILURE() << rank;
    } catch (const data::InputError&) {
      ADD_FAILURE() << "nobody's mistake";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "no memory of it");
    }
  });
}

}  // namespace
}  // namespace bitlaw::distill
