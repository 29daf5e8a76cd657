// Export and its proof, on a small quantised VAR that needs no run.
#include "launch/model_export.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "launch/commands/command.h"
#include "quant/bits.h"
#include "quant/containers/model_state.h"
#include "quant/methods/post_training.h"
#include "quant/prepare.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/thread_group.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace {
namespace fs = std::filesystem;

trainer::RunConfig small_config(std::int64_t bits) {
  trainer::RunConfig config;
  config.run.name = "small";
  config.model.depth = 2;
  config.model.width = 32;
  config.model.num_heads = 2;
  config.model.vq.patch_nums = {1, 2, 4};
  config.model.vq.codebook_size = 32;
  config.model.vq.latent_channels = 8;
  config.quant.method = quant::Method::lsq;
  config.quant.weights.num_bits = bits;
  config.quant.weights.strategy = quant::Strategy::group;
  config.quant.weights.group_size = 16;
  config.quant.ignore = {"head"};
  return config;
}

LoadedModel make_trained(const trainer::RunConfig& config, std::uint64_t seed) {
  LoadedModel loaded;
  loaded.origin.config = config;
  loaded.origin.num_classes = 10;
  loaded.origin.tokenizer = config.model.vq;
  loaded.model = distill::make_model(config.model, config.model.vq, 10);
  distill::initialise(dynamic_cast<distill::Var&>(*loaded.model), 0.5, seed);
  quant::prepare(*loaded.model, config.quant, quant::ScaleInit::from_weights);
  loaded.model->eval();
  loaded.origin.parameter_hash = quant::parameter_hash(*loaded.model);
  return loaded;
}

class ModelExport : public testing::TestWithParam<std::int64_t> {
 protected:
  test::TemporaryFolder folder_;
};

TEST_P(ModelExport, IsProvedEqualAndNamesWhatItHolds) {
  const LoadedModel trained = make_trained(small_config(GetParam()), 3);
  const VerifyReport report = export_model(trained, folder_ / "model.h5");
  EXPECT_EQ(report.packed_layers,
            2 * 5 + 1);  // qkv, proj, fc1, fc2, ada_lin of two blocks; ada_lin of the head
  EXPECT_GT(report.other_tensors, 0);
  const LoadedModel rebuilt = load_model(folder_ / "model.h5");
  EXPECT_TRUE(rebuilt.origin.is_export);
  EXPECT_EQ(rebuilt.origin.weights, Weights::model);
  EXPECT_EQ(rebuilt.origin.parameter_hash, trained.origin.parameter_hash);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);  // itself
}

TEST_P(ModelExport, OneChangedMasterIsFound) {
  const trainer::RunConfig config = small_config(GetParam());
  export_model(make_trained(config, 3), folder_ / "model.h5");
  LoadedModel other = make_trained(config, 3);
  {
    const at::NoGradGuard no_grad;
    quant::linear_layers(*other.model).front().second->weight.neg_();
  }
  try {
    verify_model(other, load_model(folder_ / "model.h5"));
    FAIL() << "was accepted";
  } catch (const VerifyError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("codes differ"));
  }
}

TEST_P(ModelExport, AnotherRunsHashIsFound) {
  LoadedModel trained = make_trained(small_config(GetParam()), 3);
  export_model(trained, folder_ / "model.h5");
  trained.origin.parameter_hash = "0";
  EXPECT_THROW(verify_model(trained, load_model(folder_ / "model.h5")), VerifyError);
}

TEST_P(ModelExport, TheFileHasTheBitsOfTheRunWhateverItSays) {
  const LoadedModel trained = make_trained(small_config(GetParam()), 3);
  export_model(trained, folder_ / "model.h5");
  quant::PackedModel packed = quant::read_native(folder_ / "model.h5");
  const std::int64_t bits = quant::count_bits(*trained.model, quant::RestType::bfloat16).model_bits();
  EXPECT_EQ(packed.attributes.at("model_bits"), std::to_string(bits));
  packed.attributes.erase("model_bits");  // the format does not ask for it
  quant::write_native(folder_ / "silent.h5", packed);
  EXPECT_EQ(export_size(load_model(folder_ / "silent.h5")).bits.model_bits(), bits);
}

// Every layer quantised by AWQ for random inputs, none of its multipliers folded.
LoadedModel make_calibrated() {
  trainer::RunConfig config = small_config(4);
  config.quant.method = quant::Method::awq;
  LoadedModel trained = make_trained(config, 3);
  const at::NoGradGuard no_grad;
  for (const auto& [name, linear] : quant::linear_layers(*trained.model)) {
    if (!linear->weight_quantizer()) continue;
    quant::Statistics seen;
    const std::int64_t in = linear->weight.size(1);
    quant::observe_input(seen, name, at::randn({64, in}) * at::randn({in}).exp());
    const quant::LayerCodes codes =
        quant::quantise_layer(linear->weight.detach(), quant::input_statistics(seen, name),
                              linear->weight_quantizer()->spec(), config.quant);
    linear->weight.copy_(linear->weight_quantizer()->adopt(codes));
  }
  trained.origin.parameter_hash = quant::parameter_hash(*trained.model);
  return trained;
}

TEST(ModelExportOfTransforms, OneChangedMultiplierIsFound) {
  at::manual_seed(6);
  const test::TemporaryFolder folder;
  const LoadedModel trained = make_calibrated();
  export_model(trained, folder / "model.h5");
  quant::PackedModel packed = quant::read_native(folder / "model.h5");
  auto& multiplier = packed.weights.at("blocks.1.ffn.fc2").input_multiplier;
  ASSERT_FALSE(multiplier.empty());
  multiplier[5] = std::nextafter(multiplier[5], 9.0F);  // lost in the sums of the outputs
  quant::write_native(folder / "changed.h5", packed);
  const LoadedModel changed = load_model(folder / "changed.h5");
  EXPECT_THAT(test::message_of<VerifyError>([&] { verify_model(trained, changed); }),
              testing::HasSubstr("weights/blocks.1.ffn.fc2: another member"));
}

TEST(ModelExportWithoutCodes, HasTheBitsOfTheRunToo) {
  const test::TemporaryFolder folder;
  trainer::RunConfig config = small_config(3);
  config.quant.ignore = {"*"};
  const LoadedModel trained = make_trained(config, 3);
  export_model(trained, folder / "model.h5");
  const quant::BitCount run = quant::count_bits(*trained.model, config.quant.rest_dtype);
  const quant::BitCount file = export_size(load_model(folder / "model.h5")).bits;
  EXPECT_DOUBLE_EQ(file.bits_per_weight(), run.bits_per_weight());
  EXPECT_EQ(file.model_bits(), run.model_bits());
}

TEST(ModelExportWithoutCodes, ACheckpointWithoutItsTextsIsNamed) {
  const test::TemporaryFolder folder;
  const auto alone = trainer::make_serial_collective();
  trainer::CheckpointWriter writer({.folder = folder / "checkpoints", .asynchronous = false}, *alone);
  writer.save({1, {}, {{"config", trainer::write_config(small_config(3))}}});
  writer.finish();
  EXPECT_THAT(test::message_of([&] { load_model(folder.path()); }),
              testing::AllOf(testing::HasSubstr("num_classes is ''"), testing::HasSubstr("step-00000001")));
}

INSTANTIATE_TEST_SUITE_P(Bits, ModelExport, testing::Values(2, 3, 4, 8));

}  // namespace
}  // namespace bitlaw::launch
