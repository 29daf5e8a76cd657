// Stable Diffusion's autoencoder against tensors that diffusers' own code produced.
#include "distill/models/sd_vae.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>

#include "distill/models/load_weights.h"
#include "quant/containers/model_state.h"
#include "tests/distill/models/network_checks.h"

namespace bitlaw::distill {
namespace {

SdVaeConfig tiny() {
  SdVaeConfig shape;
  shape.channels = {8, 8, 16};
  shape.res_blocks = 1;
  shape.group_norm_groups = 4;
  return shape;
}

class SdVaeFile : public ::testing::Test {
 protected:
  SdVaeFile() {
    for (const auto& [name, tensor] : read_weights(
             std::string(BITLAW_SOURCE_DIR) + "/tests/distill/models/files/sd_vae.safetensors", "")) {
      if (name.starts_with("state/"))
        state_.emplace(name.substr(6), tensor);
      else
        tensors_.emplace(name, tensor);
    }
    quant::load_state(model_, state_);
  }
  double difference(const at::Tensor& actual, const std::string& name) const {
    const at::Tensor& expected = tensors_.at(name);
    EXPECT_EQ(actual.sizes(), expected.sizes());
    return (actual - expected).abs().max().item<double>() / expected.abs().max().item<double>();
  }

  std::map<std::string, at::Tensor> state_, tensors_;
  SdVae model_{tiny()};
  at::NoGradGuard no_grad_;
};

TEST_F(SdVaeFile, WeightsAreThePublishedOnes) {
  expect_published(model_, sd_vae_weights(tiny()));
  EXPECT_EQ(state_.size(), sd_vae_weights(tiny()).size());
}

TEST_F(SdVaeFile, DistributionOfLatents) {
  const SdVae::Distribution latents = model_.encode(tensors_.at("image"));
  EXPECT_LT(difference(latents.mean, "mean"), 1e-5);
  EXPECT_LT(difference(latents.log_variance, "log_variance"), 1e-5);
}

TEST_F(SdVaeFile, Images) {
  EXPECT_LT(difference(model_.decode(tensors_.at("latents")), "decoded"), 1e-5);
}

TEST_F(SdVaeFile, AutocastChangesNothing) {
  const at::Tensor plain = model_.decode(tensors_.at("latents"));
  const AutocastOnCpu autocast(true);
  EXPECT_TRUE(model_.decode(tensors_.at("latents")).equal(plain));
}

TEST_F(SdVaeFile, LogVarianceIsClamped) {
  model_.named_parameters()["quant_conv.bias"].slice(0, 4).copy_(at::tensor({100.0F, -100.0F, 0.0F, 0.0F}));
  const at::Tensor log_variance = model_.encode(tensors_.at("image")).log_variance;
  EXPECT_TRUE(log_variance.select(1, 0).eq(20).all().item<bool>());
  EXPECT_TRUE(log_variance.select(1, 1).eq(-30).all().item<bool>());
}

}  // namespace
}  // namespace bitlaw::distill
