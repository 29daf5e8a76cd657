// Samples do not depend on how they are batched, and depend on everything they should.
#include "distill/samplers/var_sampler.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "distill/not_finite_error.h"
#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

class VarSampler : public ::testing::Test {
 protected:
  VarSampler() {
    VqConfig vq;
    vq.base_channels = 8;
    vq.channel_multipliers = {1, 2};
    vq.res_blocks = 1;
    vq.group_norm_groups = 4;
    vq.latent_channels = 6;
    vq.codebook_size = 32;
    vq.patch_nums = {1, 2, 4};
    vq.phi_convolutions = 1;
    ModelConfig config;
    config.depth = 2;
    config.width = 32;
    config.num_heads = 2;
    at::manual_seed(3);
    tokenizer_ = std::make_shared<VqTokenizer>(vq);
    model_ = std::make_shared<Var>(var_shape(config, vq, 4));
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : tokenizer_->parameters()) parameter.normal_(0, 0.2);
    for (at::Tensor& parameter : model_->parameters()) parameter.normal_(0, 0.2);
  }

  SampleResult run(const at::Tensor& labels_B, const SamplerSettings& settings, std::int64_t first = 0) {
    return sample(*model_, *tokenizer_, labels_B, settings, first);
  }

  std::shared_ptr<VqTokenizer> tokenizer_;
  std::shared_ptr<Var> model_;
  at::Tensor labels_ = at::tensor({0, 1, 2, 3, 0}, at::kLong);
};

TEST_F(VarSampler, ABatchSplitDoesNotMatter) {
  const SamplerSettings settings{.cfg = 1.5, .top_k = 20, .top_p = 0.95, .seed = 9};
  const SampleResult all = run(labels_, settings, 100);
  const SampleResult head = run(labels_.narrow(0, 0, 2), settings, 100);
  const SampleResult tail = run(labels_.narrow(0, 2, 3), settings, 102);
  EXPECT_TRUE(all.tokens.equal(at::cat({head.tokens, tail.tokens})));
  EXPECT_LT((all.images - at::cat({head.images, tail.images})).abs().max().item<double>(), 1e-5);
}

TEST_F(VarSampler, SeedAndSampleIdMatter) {
  SamplerSettings settings{.seed = 1};
  const at::Tensor first = run(labels_, settings).tokens;
  EXPECT_TRUE(first.equal(run(labels_, settings).tokens));
  EXPECT_FALSE(first.equal(run(labels_, settings, 50).tokens));
  EXPECT_FALSE(first[0].equal(first[4]));  // one label, two sample ids
  settings.seed = 2;
  EXPECT_FALSE(first.equal(run(labels_, settings).tokens));
}

// A picture of nothing looks like a picture: it must not be drawn.
TEST_F(VarSampler, LogitsThatAreNotFiniteAreNamed) {
  const at::NoGradGuard no_grad;
  at::Tensor classes = model_->named_parameters()["class_emb.weight"];
  classes[3].fill_(std::numeric_limits<float>::quiet_NaN());  // of the sample 100 + 3 alone
  EXPECT_THAT(test::message_of<NotFiniteError>([&] { run(labels_, {.cfg = 0.0, .seed = 1}, 100); }),
              testing::HasSubstr("logits of sample 103 at scale 0 ["));
  EXPECT_EQ(run(labels_.narrow(0, 0, 3), {.cfg = 0.0, .seed = 1}).tokens.size(0), 3);
}

// Guidance grows from 0 at the first scale to cfg at the last: (1 + t) conditional - t unconditional.
TEST_F(VarSampler, GuidanceIsARamp) {
  std::vector<at::Tensor> plain, guided;
  const auto keep_in = [](std::vector<at::Tensor>& into) {
    return [&into](std::int64_t, const at::Tensor& logits, const at::Tensor&) {
      into.push_back(logits.clone());
    };
  };
  const SamplerSettings greedy{.cfg = 0, .top_k = 1}, ramp{.cfg = 2, .top_k = 1};
  sample(*model_, *tokenizer_, labels_, greedy, 0, keep_in(plain));
  sample(*model_, *tokenizer_, labels_, ramp, 0, keep_in(guided));
  EXPECT_LT((plain[0] - guided[0]).abs().max().item<double>(), 1e-5);
  // Scale 1 follows equal tokens of scale 0, so its conditional logits are those without guidance.
  const at::NoGradGuard no_grad;
  const at::Tensor dropped = at::full_like(labels_, 4);
  const at::Tensor tokens0 = plain[0].argmax(2);
  KvCache cache;
  model_->forward_scale(dropped, {}, 0, cache);
  const at::Tensor fhat = tokenizer_->quantizer().add_scale({}, tokens0, 0);
  const at::Tensor unconditional =
      model_->forward_scale(dropped, tokenizer_->quantizer().next_input(fhat, 0), 1, cache);
  const at::Tensor expected = plain[1] * 2 - unconditional;  // t = 2 * 1 / 2
  EXPECT_LT((guided[1] - expected).abs().max().item<double>(), 1e-4 * expected.abs().max().item<double>());
}

// One token's frequencies over many sample ids follow the filtered distribution.
TEST_F(VarSampler, FrequenciesFollowTheDistribution) {
  const std::int64_t draws = 4000;
  at::Tensor logits;
  const SamplerSettings settings{.cfg = 0, .top_k = 5, .seed = 4};
  const auto observer = [&](std::int64_t k, const at::Tensor& scale_logits, const at::Tensor&) {
    if (k == 0) logits = scale_logits[0][0].clone();
  };
  const auto result = sample(*model_, *tokenizer_, at::zeros({draws}, at::kLong), settings, 0, observer);
  const at::Tensor expected = filtered_probabilities(logits, 5, 0).to(at::kDouble);
  const at::Tensor counts = at::bincount(result.tokens.select(1, 0), {}, 32).to(at::kDouble);
  const at::Tensor kept = expected.gt(0);
  EXPECT_EQ(counts.masked_select(kept.logical_not()).sum().item<double>(), 0);
  const at::Tensor chi2 =
      ((counts - expected * draws).square() / (expected * draws)).masked_select(kept).sum();
  EXPECT_LT(chi2.item<double>(), 18.5);  // 4 degrees of freedom: exceeded with probability 0.001
}

}  // namespace
}  // namespace bitlaw::distill
