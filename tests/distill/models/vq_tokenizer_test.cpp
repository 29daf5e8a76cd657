// The tokenizer's geometry, its training forward, and what each training mode of the codebook differentiates.
#include "distill/models/vq_tokenizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "data/formats/input_error.h"

namespace bitlaw::distill {
namespace {

VqConfig small(CodebookTraining training) {
  VqConfig config;
  config.base_channels = 8;
  config.channel_multipliers = {1, 2};
  config.res_blocks = 1;
  config.group_norm_groups = 4;
  config.latent_channels = 6;
  config.codebook_size = 32;
  config.patch_nums = {1, 2, 4};
  config.phi_convolutions = 3;
  config.codebook = training;
  return config;
}

std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

TEST(VqTokenizer, PublishedGeometryHasThePublishedParameterCount) {
  const VqTokenizer tokenizer{VqConfig{}};
  EXPECT_EQ(parameter_count(tokenizer), 108948355);
  EXPECT_EQ(tokenizer.image_side(), 256);
  std::int64_t encoder = 0, decoder = 0, quantizer = 0;
  for (const auto& item : tokenizer.named_parameters()) {
    if (item.key().starts_with("encoder.")) encoder += item.value().numel();
    if (item.key().starts_with("decoder.")) decoder += item.value().numel();
    if (item.key().starts_with("quantize.")) quantizer += item.value().numel();
  }
  EXPECT_EQ(encoder, 44107872);
  EXPECT_EQ(decoder, 64653923);
  EXPECT_EQ(quantizer, 168064);
}

TEST(VqTokenizer, ShapesOfASmallGeometryWithoutAttentionAndMiddle) {
  VqConfig config = small(CodebookTraining::ema);
  config.attention = config.middle = false;
  VqTokenizer tokenizer(config);
  initialise(tokenizer, 3);
  const at::NoGradGuard no_grad;
  const at::Tensor images = at::rand({2, 3, 8, 8});
  EXPECT_EQ(tokenizer.features(images).sizes(), (at::IntArrayRef{2, 6, 4, 4}));
  EXPECT_EQ(tokenizer.encode(images).sizes(), (at::IntArrayRef{2, 21}));
  EXPECT_EQ(tokenizer.decode(at::zeros({2, 6, 4, 4})).sizes(), (at::IntArrayRef{2, 3, 8, 8}));
  EXPECT_EQ(tokenizer.quantizer().var_input(tokenizer.encode(images)).sizes(), (at::IntArrayRef{2, 20, 6}));
}

TEST(VqTokenizer, NamesEveryProblemOfItsGeometry) {
  VqConfig config = small(CodebookTraining::ema);
  config.patch_nums = {1, 4, 2};
  config.group_norm_groups = 3;
  config.phi_convolutions = 5;
  try {
    const VqTokenizer tokenizer(config);
    FAIL() << "not refused";
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("patch_nums does not rise"),
                                               ::testing::HasSubstr("3 does not divide the width 8"),
                                               ::testing::HasSubstr("phi_convolutions 5")));
  }
}

TEST(VqTokenizer, InitialValuesAreAFunctionOfSeedAndName) {
  VqTokenizer a(small(CodebookTraining::ema)), b(small(CodebookTraining::gradient)),
      c(small(CodebookTraining::ema));
  initialise(a, 1);
  initialise(b, 1);
  initialise(c, 2);
  const auto of_b = b.named_parameters(), of_c = c.named_parameters();
  bool other_seed_differs = false;
  for (const auto& item : a.named_parameters()) {
    EXPECT_TRUE(item.value().equal(of_b[item.key()])) << item.key();
    if (!item.value().equal(of_c[item.key()])) other_seed_differs = true;
  }
  EXPECT_TRUE(other_seed_differs);
  EXPECT_LE(a.quantizer().codebook().abs().max().item<double>(), 1.0 / 32);
}

// The loss written out from its definition, with the tokens that the forward chose.
TEST(MultiScaleQuantizer, LossAndStraightThroughOutput) {
  VqTokenizer tokenizer(small(CodebookTraining::gradient));
  initialise(tokenizer, 4);
  MultiScaleQuantizer& quantizer = tokenizer.quantizer();
  const at::Tensor features = at::randn({2, 6, 4, 4}).requires_grad_();
  const auto output = quantizer.train_forward(features);
  double expected = 0;
  for (std::int64_t k = 0; k < 3; ++k)
    expected += 1.25 * (quantizer.accumulate(output.tokens, k) - features).square().mean().item<double>() / 3;
  EXPECT_NEAR(output.loss.item<double>(), expected, 1e-6);
  EXPECT_LT((output.quantised - quantizer.accumulate(output.tokens, 2)).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(output.tokens.equal(quantizer.encode(features)));

  const auto gradient = torch::autograd::grad({output.quantised.sum()}, {features}, {}, true)[0];
  EXPECT_TRUE(gradient.equal(at::ones_like(features)));
}

TEST(MultiScaleQuantizer, GradientCodebookLearnsByGradientAndTheOtherDoesNot) {
  for (const auto training : {CodebookTraining::gradient, CodebookTraining::ema}) {
    VqTokenizer tokenizer(small(training));
    initialise(tokenizer, 5);
    const at::Tensor features = at::randn({2, 6, 4, 4}).requires_grad_();
    tokenizer.quantizer().train_forward(features).loss.backward();
    EXPECT_EQ(tokenizer.quantizer().codebook().grad().defined(), training == CodebookTraining::gradient);
    EXPECT_TRUE(features.grad().defined());
    EXPECT_EQ(tokenizer.quantizer().codebook_averages().counts.defined(), training == CodebookTraining::ema);
    const auto phi = tokenizer.named_parameters()["quantize.quant_resi.qresi_ls.0.weight"];
    EXPECT_TRUE(phi.grad().defined());
  }
}

// A code's assigned vectors are the ones nearest to it; the first scale's is the mean of the features.
TEST(MultiScaleQuantizer, AssignedInputsFollowTheTokens) {
  VqTokenizer tokenizer(small(CodebookTraining::ema));
  initialise(tokenizer, 6);
  const at::Tensor features = at::randn({3, 6, 4, 4});
  const auto output = tokenizer.quantizer().train_forward(features);
  const at::Tensor inputs = output.assigned_inputs.view({3, 21, 6});
  EXPECT_LT((inputs.select(1, 0) - features.mean({2, 3})).abs().max().item<double>(), 1e-6);
  const at::Tensor distance =
      (output.assigned_inputs.unsqueeze(1) - tokenizer.quantizer().codebook().unsqueeze(0)).square().sum(2);
  const at::Tensor chosen = distance.gather(1, output.tokens.view({-1, 1})).squeeze(1);
  EXPECT_LT((chosen - distance.amin(1)).max().item<double>(), 1e-5);
}

TEST(MultiScaleQuantizer, BuffersAreOfTraining) {
  const MultiScaleQuantizer quantizer(small(CodebookTraining::ema));
  for (const auto& item : quantizer.named_buffers(false))
    EXPECT_EQ(quantizer.buffer_role(item.key()), quant::BufferRole::training) << item.key();
  EXPECT_EQ(quantizer.named_buffers(false).size(), 3U);
}

}  // namespace
}  // namespace bitlaw::distill
