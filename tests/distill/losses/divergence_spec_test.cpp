#include "distill/losses/divergence_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"

namespace bitlaw::distill {
namespace {

using ::testing::HasSubstr;

std::string refusal(const DistillConfig& config, std::int64_t vocab_size) {
  try {
    divergence_spec(config, vocab_size);
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(DivergenceSpec, DefaultIsTheFirstHypothesis) {
  const DivergenceSpec spec = divergence_spec({}, 4096);
  EXPECT_EQ(spec.loss, Loss::topkld);
  EXPECT_EQ(spec.top_k, 900);
  EXPECT_EQ(spec.head, Direction::forward);
  EXPECT_EQ(spec.tail, Direction::reverse);
  EXPECT_EQ(spec.norm, Norm::generalised);
  EXPECT_EQ(spec.set_source, SetSource::teacher);
  EXPECT_EQ(spec.lambda_head, 1.0);
  EXPECT_EQ(spec.lambda_tail, 1.0);
  EXPECT_EQ(spec.temperature, 1.0);
}

TEST(DivergenceSpec, TopKDefaultsToTheSameFractionOfASmallerVocabulary) {
  EXPECT_EQ(divergence_spec({}, 256).top_k, 56);  // 56.25
  EXPECT_EQ(divergence_spec({}, 64).top_k, 14);   // 14.06
  EXPECT_EQ(divergence_spec({}, 2).top_k, 0);
  EXPECT_EQ(divergence_spec({}, 16384).top_k, 3600);
}

TEST(DivergenceSpec, KeepsWhatIsAskedFor) {
  DistillConfig config;
  config.top_k = 7;
  config.temperature = 2.5;
  config.lambda_tail = 0.25;
  config.set_source = SetSource::union_of_both;
  const DivergenceSpec spec = divergence_spec(config, 7);
  EXPECT_EQ(spec.top_k, 7);
  EXPECT_EQ(spec.temperature, 2.5);
  EXPECT_EQ(spec.lambda_tail, 0.25);
  EXPECT_EQ(spec.set_source, SetSource::union_of_both);
}

TEST(DivergenceSpec, RefusesAHeadLargerThanTheVocabulary) {
  DistillConfig config;
  config.top_k = 257;
  const std::string message = refusal(config, 256);
  EXPECT_THAT(message, HasSubstr("distill.top_k: 257 of a vocabulary of 256 classes"));
  EXPECT_THAT(message, HasSubstr("between 0 and 256, or leave it out for 56"));
  config.loss = Loss::forward_kl;  // has no head
  EXPECT_EQ(refusal(config, 256), "accepted");
}

TEST(DivergenceSpec, RefusesTheNaiveCombinationThatCollapses) {
  DistillConfig config;
  config.head = Direction::reverse;
  config.tail = Direction::forward;
  config.norm = Norm::naive;
  const std::string message = refusal(config, 4096);
  EXPECT_THAT(message, HasSubstr("head reverse, tail forward, norm naive"));
  EXPECT_THAT(message, HasSubstr("not a divergence"));
  EXPECT_THAT(message, HasSubstr("pushes mass out of the head until it has collapsed"));
  EXPECT_THAT(message, HasSubstr("use norm: generalised"));
  for (const Norm norm : {Norm::generalised, Norm::conditional, Norm::ghost}) {
    config.norm = norm;
    EXPECT_EQ(refusal(config, 4096), "accepted");
  }
  config.norm = Norm::naive;
  config.head = Direction::forward;
  config.tail = Direction::reverse;
  EXPECT_EQ(refusal(config, 4096), "accepted");
}

TEST(DivergenceSpec, RefusesALossWithoutTerms) {
  DistillConfig config;
  config.lambda_head = 0;
  config.tail = Direction::none;
  EXPECT_THAT(refusal(config, 4096), HasSubstr("head forward times 0, tail none times 1 [no term is left"));
  config.tail = Direction::reverse;
  EXPECT_EQ(refusal(config, 4096), "accepted");
  config.head = Direction::none;
  config.tail = Direction::none;
  EXPECT_THAT(refusal(config, 4096), HasSubstr("no term is left"));
}

TEST(DivergenceSpec, RefusesMixturesThatAreConstant) {
  DistillConfig config;
  config.loss = Loss::jsd;
  for (const double beta : {0.0, 1.0}) {
    config.beta = beta;
    EXPECT_THAT(refusal(config, 256), HasSubstr("the loss is 0 for every student"));
  }
  config.beta = 0.5;
  EXPECT_EQ(refusal(config, 256), "accepted");
  config.loss = Loss::skew_forward_kl;
  config.alpha = 0;
  EXPECT_EQ(refusal(config, 256), "accepted");
  config.alpha = 1;
  EXPECT_THAT(refusal(config, 256), HasSubstr("distill.alpha: 1"));
}

}  // namespace
}  // namespace bitlaw::distill
