// The tokenizer against tensors that the authors' own code produced.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/distill/models/golden.h"

namespace bitlaw::tests {
namespace {

class VqTokenizerGolden : public ::testing::Test {
 protected:
  GoldenFile file_{"var.h5"};
  std::shared_ptr<distill::VqTokenizer> tokenizer_ = golden_tokenizer(file_);
  at::Tensor tokens_ = file_.tensor("tokenizer/tokens");
  at::NoGradGuard no_grad_;
};

TEST_F(VqTokenizerGolden, Features) {
  const at::Tensor features = tokenizer_->features(file_.tensor("tokenizer/image"));
  EXPECT_LT(relative_difference(features, file_.tensor("tokenizer/features")), kGradientBound);
}

TEST_F(VqTokenizerGolden, TokensFromImagesAndFromFeatures) {
  EXPECT_TRUE(tokenizer_->encode(file_.tensor("tokenizer/image")).equal(tokens_));
  EXPECT_TRUE(tokenizer_->quantizer().encode(file_.tensor("tokenizer/features")).equal(tokens_));
}

TEST_F(VqTokenizerGolden, FhatOfEveryScale) {
  const auto scales = static_cast<std::int64_t>(tokenizer_->config().patch_nums.size());
  for (std::int64_t k = 0; k < scales; ++k)
    EXPECT_LT(relative_difference(tokenizer_->quantizer().accumulate(tokens_, k),
                                  file_.tensor("tokenizer/fhat/" + std::to_string(k))),
              kOutputBound)
        << "scale " << k;
}

TEST_F(VqTokenizerGolden, TrainForwardAssignsTheSameTokens) {
  const auto output = tokenizer_->quantizer().train_forward(file_.tensor("tokenizer/features"));
  EXPECT_TRUE(output.tokens.equal(tokens_));
  const auto last = std::to_string(tokenizer_->config().patch_nums.size() - 1);
  EXPECT_LT(relative_difference(output.quantised, file_.tensor("tokenizer/fhat/" + last)), kOutputBound);
}

TEST_F(VqTokenizerGolden, DecodedImages) {
  const auto last = std::to_string(tokenizer_->config().patch_nums.size() - 1);
  EXPECT_LT(relative_difference(tokenizer_->decode(file_.tensor("tokenizer/fhat/" + last)),
                                file_.tensor("tokenizer/decoded")),
            kImageBound);
}

TEST_F(VqTokenizerGolden, TeacherForcingFeatures) {
  EXPECT_LT(
      relative_difference(tokenizer_->quantizer().var_input(tokens_), file_.tensor("tokenizer/var_input")),
      kOutputBound);
}

}  // namespace
}  // namespace bitlaw::tests
