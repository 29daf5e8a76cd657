// Stable Diffusion's autoencoder: in by import, there and back through a container of others, and out of the
// commands that have no use for it.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "distill/models/sd_vae.h"
#include "launch/evaluation.h"
#include "launch/proof_outputs.h"
#include "launch/quantise_alone.h"
#include "launch/weights_import.h"
#include "quant/containers/container.h"
#include "quant/containers/model_state.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "trainer/config/reader.h"

namespace bitlaw::launch {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

trainer::RunConfig small_config() {
  trainer::RunConfig config;
  config.model.family = distill::Family::sd_vae;
  config.model.sd_vae.channels = {8, 8, 16};
  config.model.sd_vae.res_blocks = 1;
  config.model.sd_vae.group_norm_groups = 4;
  return config;
}

// What the package diffusers computed with random weights, and these under their published names.
class AutoencoderImport : public testing::Test {
 protected:
  AutoencoderImport() {
    const auto all = data::read_safetensors(std::string(BITLAW_SOURCE_DIR) +
                                            "/tests/distill/models/files/sd_vae.safetensors");
    data::SafetensorsFile weights;
    for (const auto& [name, tensor] : all.tensors) {
      if (name.starts_with("state/")) {
        weights.tensors.emplace(name.substr(6), tensor);
      } else {
        expected_.emplace(name, data::tensor_of(tensor));
      }
    }
    data::write_safetensors(request_.file, weights);
  }

  test::TemporaryFolder folder_;
  ImportRequest request_{folder_ / "vae.safetensors", std::nullopt, "", small_config(), folder_ / "vae"};
  std::map<std::string, at::Tensor> expected_;
};

TEST_F(AutoencoderImport, ComputesWhatItsAuthorsCodeComputes) {
  const at::NoGradGuard no_grad;
  const ImportReport report = import_weights(request_);
  EXPECT_EQ(report.parameters,
            distill::parameter_count(distill::sd_vae_weights(request_.config.model.sd_vae)));
  EXPECT_THAT(report.loaded.skipped, IsEmpty());
  const LoadedModel loaded = load_model(request_.out);
  EXPECT_EQ(loaded.origin.config.model.family, distill::Family::sd_vae);
  auto& model = dynamic_cast<distill::SdVae&>(*loaded.model);
  const at::Tensor& images = expected_.at("decoded");
  const double error = (model.decode(expected_.at("latents")) - images).abs().max().item<double>();
  EXPECT_LT(error, 1e-5 * images.abs().max().item<double>());
  EXPECT_EQ(proof_outputs(*loaded.model, 0).size(), 3U);
}

TEST_F(AutoencoderImport, GoesThroughAContainerOfOthersWithoutLoss) {
  import_weights(request_);
  for (const char* folder : {"others", "back"}) {
    std::filesystem::create_directory(folder_ / folder);
  }
  const quant::PackedModel packed = *load_model(request_.out).packed;
  quant::write_model(folder_ / "others", packed, {quant::Container::compressed_tensors, false});
  quant::write_model(folder_ / "back", quant::read_model(folder_ / "others"),
                     {quant::Container::native, false});
  EXPECT_EQ(load_model(folder_ / "back").origin.parameter_hash,
            quant::parameter_hash(*load_model(request_.out).model));
  EXPECT_EQ(quant::parameter_hash(*load_model(folder_ / "back").model),
            quant::parameter_hash(*load_model(request_.out).model));
  request_.file = folder_ / "others" / "model.safetensors";
  request_.out = folder_ / "again";
  EXPECT_EQ(import_weights(request_).origin.parameter_hash,
            quant::parameter_hash(*load_model(folder_ / "back").model));
}

TEST_F(AutoencoderImport, TheIncludeIsAConfigurationOfTheSameModel) {
  import_weights(request_);
  const trainer::RunConfig config = trainer::read_config({request_.out / "model.yaml"}, {});
  EXPECT_EQ(config.model.family, distill::Family::sd_vae);
  EXPECT_EQ(config.model.sd_vae.channels, small_config().model.sd_vae.channels);
}

TEST_F(AutoencoderImport, IsNeitherQuantisedNorJudged) {
  import_weights(request_);
  trainer::RunConfig config = trainer::read_config({request_.out / "model.yaml"}, {});
  config.run.name = "r";
  config.run.dir = (folder_ / "runs").string();
  config.quant.method = quant::Method::rtn;
  config.quant.weights.num_bits = 4;
  config.train.max_steps = 0;
  EXPECT_THAT(message_of([&] { quantise_alone(config, {}); }),
              AllOf(HasSubstr("quant.method: rtn with model.family: sd_vae"),
                    HasSubstr("an autoencoder of images is made of convolutions"),
                    HasSubstr("quantise the model of its latents")));
  EvaluationRequest evaluation;
  evaluation.model = request_.out;
  evaluation.data = (folder_ / "nowhere").string();
  EXPECT_THAT(message_of([&] { prepare_evaluation(evaluation); }),
              AllOf(HasSubstr("is an autoencoder of images"), HasSubstr("no figures")));
}

TEST_F(AutoencoderImport, OtherGeometriesAreRefused) {
  request_.published = "sd-vae";
  request_.config.model = {};
  EXPECT_THAT(message_of([&] { import_weights(request_); }),
              AllOf(HasSubstr("decoder.conv_in.weight: shape [16, 4, 3, 3], the model has [512, 4, 3, 3]"),
                    HasSubstr("missing: decoder.up_blocks.")));
  request_.published.clear();
  request_.config = small_config();
  request_.config.model.sd_vae.group_norm_groups = 3;
  EXPECT_THAT(message_of([&] { import_weights(request_); }),
              HasSubstr("model.sd_vae.group_norm_groups: 3 groups do not divide a level of 8 channels"));
  request_.config.model.sd_vae.channels.clear();
  EXPECT_THAT(message_of([&] { import_weights(request_); }), HasSubstr("model.sd_vae.channels is empty"));
}

}  // namespace
}  // namespace bitlaw::launch
