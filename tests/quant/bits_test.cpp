// Bits by hand.
#include "quant/bits.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "tests/quant/toy_model.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

// Weights of the toy model: 2 x (64*128 + 128*64 + 64*96) = 45056 in the blocks, 640 in the head. The rest:
// biases 2 x (128 + 64 + 96) = 576, pos 320, embed 640, and step_count: 3 integers of 64 bits. usage trains,
// mask is rebuilt: neither counts.
constexpr std::int64_t kBlockWeights = 45056;
constexpr std::int64_t kRestFloats = 576 + 320 + 640;

QuantConfig config_of(std::int64_t bits) {
  QuantConfig config;
  config.method = Method::lsq;
  config.scale_search = ScaleSearch::absmax;
  config.weights.num_bits = bits;
  config.weights.strategy = Strategy::group;
  config.weights.group_size = 64;
  config.ignore = {"head"};
  return config;
}

TEST(CountBits, SymmetricGroups) {
  ToyModel model;
  prepare(model, config_of(3), ScaleInit::from_weights);
  const BitCount count = count_bits(model, RestType::bfloat16);
  EXPECT_EQ(count.quantised_weights, kBlockWeights);
  EXPECT_EQ(count.code_bits, 3 * kBlockWeights);
  EXPECT_EQ(count.scale_bits, 16 * kBlockWeights / 64);
  EXPECT_EQ(count.zero_point_bits, 0);
  EXPECT_EQ(count.rest_values, kRestFloats + 640 + 3);
  EXPECT_EQ(count.rest_bits, 16 * (kRestFloats + 640) + 3 * 64);
  EXPECT_DOUBLE_EQ(count.bits_per_weight(), 3.25);
  EXPECT_EQ(count.model_bits(), count.code_bits + count.scale_bits + count.rest_bits);
}

TEST(CountBits, AsymmetricWithFloat32ScalesAndAnOverride) {
  ToyModel model;
  QuantConfig config = config_of(4);
  config.weights.symmetric = false;
  config.weights.scale_dtype = ScaleType::float32;
  OverrideConfig rule;
  rule.match = "*.ada_lin.*";
  rule.weights.num_bits = 8;
  config.overrides = {rule};
  prepare(model, config, ScaleInit::from_weights);
  const BitCount count = count_bits(model, RestType::float32);
  const std::int64_t ada = 2 * 64 * 96;
  EXPECT_EQ(count.code_bits, 4 * (kBlockWeights - ada) + 8 * ada);
  EXPECT_EQ(count.scale_bits, 32 * kBlockWeights / 64);
  EXPECT_EQ(count.zero_point_bits, 8 * kBlockWeights / 64);
  EXPECT_EQ(count.rest_bits, 32 * (kRestFloats + 640) + 3 * 64);
}

TEST(CountBits, ChannelAndTensorScales) {
  ToyModel model;
  QuantConfig config = config_of(8);
  config.weights.strategy = Strategy::channel;
  config.weights.group_size.reset();
  OverrideConfig rule;
  rule.match = "*.fc2";
  rule.weights.strategy = Strategy::tensor;
  config.overrides = {rule};
  prepare(model, config, ScaleInit::from_weights);
  // Channels of fc1 (128) and ada_lin (96), one scale for each fc2, twice.
  EXPECT_EQ(count_bits(model, RestType::bfloat16).scale_bits, 16 * 2 * (128 + 96 + 1));
}

TEST(CountBits, OfAPackedModelIsThatOfTheModel) {
  for (const bool symmetric : {true, false}) {
    ToyModel model;
    QuantConfig config = config_of(5);
    config.weights.symmetric = symmetric;
    prepare(model, config, ScaleInit::from_weights);
    const BitCount live = count_bits(model, RestType::bfloat16);
    const BitCount packed = count_bits(pack_model(model, RestType::bfloat16));
    EXPECT_EQ(packed.quantised_weights, live.quantised_weights);
    EXPECT_EQ(packed.code_bits, live.code_bits);
    EXPECT_EQ(packed.scale_bits, live.scale_bits);
    EXPECT_EQ(packed.zero_point_bits, live.zero_point_bits);
    EXPECT_EQ(packed.rest_values, live.rest_values);
    EXPECT_EQ(packed.rest_bits, live.rest_bits);
  }
}

// GPTQ with act-order in groups, behind a multiplier: as the file stores them, 32 bits for each input and
// each.
TEST(CountBits, ScatteredGroupsAndInputMultipliers) {
  ToyModel model;
  QuantConfig config = config_of(4);
  config.method = Method::gptq;
  config.calibration.act_order = true;
  config.transforms = {TransformKind::smooth};
  config.weights.group_size = 32;
  prepare(model, config, ScaleInit::left_for_load);
  const std::int64_t inputs = 2 * (64 + 128 + 64);
  BitCount live = count_bits(model, RestType::bfloat16);
  EXPECT_EQ(live.input_bits, 32 * inputs);  // multipliers of 1 are not stored
  for (const auto& [name, linear] : linear_layers(model)) {
    if (linear->weight_quantizer()) {
      linear->weight_quantizer()->named_buffers()["input_multiplier"].fill_(0.5);
    }
  }
  live = count_bits(model, RestType::bfloat16);
  EXPECT_EQ(live.input_bits, 2 * 32 * inputs);
  EXPECT_EQ(live.model_bits(),
            live.code_bits + live.scale_bits + live.zero_point_bits + live.input_bits + live.rest_bits);
  EXPECT_DOUBLE_EQ(live.bits_per_weight(), 4.5 + 2.0 * 32.0 * static_cast<double>(inputs) / kBlockWeights);
  PackedModel packed = pack_model(model, RestType::bfloat16);
  EXPECT_EQ(count_bits(packed).input_bits, live.input_bits);
  EXPECT_EQ(count_bits(packed).model_bits(), live.model_bits());
  const test::TemporaryFolder folder;
  const auto size_of = [&](const std::string& name) {
    packed.attributes.clear();
    write_native(folder / name, packed);
    return static_cast<double>(std::filesystem::file_size(folder / name));
  };
  const double with = size_of("with.h5");
  const double theory = static_cast<double>(live.model_bits()) / 8;
  EXPECT_GE(with, theory);
  EXPECT_LE(with, 1.01 * theory + 65536);
  for (auto& [name, weight] : packed.weights) {
    weight.group_index.clear();
    weight.input_multiplier.clear();
  }
  const double grown = with - size_of("without.h5");
  EXPECT_GE(grown, static_cast<double>(live.input_bits) / 8);
  EXPECT_LE(grown, static_cast<double>(live.input_bits) / 8 + 12 * 1024);  // the headers of 12 more tensors
}

TEST(CountBits, WithoutQuantisationEverythingIsRest) {
  ToyModel model;
  const BitCount count = count_bits(model, RestType::float32);
  EXPECT_EQ(count.quantised_weights, 0);
  EXPECT_EQ(count.model_bits(), 32 * (kRestFloats + kBlockWeights + 640) + 3 * 64);
  EXPECT_NEAR(count.bits_per_weight(), 32.0, 0.01);
}

}  // namespace
}  // namespace bitlaw::quant
