// LlamaGen's transformer against tensors that the authors' own code produced.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/distill/models/golden.h"

namespace bitlaw::tests {
namespace {

class RasterArGolden : public ::testing::Test {
 protected:
  at::Tensor logits() { return model_->forward(labels_B_, tokens_BL_.slice(1, 0, -1)); }
  at::Tensor cross_entropy() { return at::cross_entropy_loss(logits().flatten(0, 1), tokens_BL_.flatten()); }

  GoldenFile file_{"llamagen.h5"};
  std::shared_ptr<distill::RasterAr> model_ = golden_raster(file_);
  at::Tensor tokens_BL_ = file_.tensor("tokens"), labels_B_ = file_.tensor("labels");
};

TEST_F(RasterArGolden, Logits) {
  const at::NoGradGuard no_grad;
  EXPECT_LT(relative_difference(logits(), file_.tensor("logits")), kOutputBound);
}

TEST_F(RasterArGolden, LogitsOneTokenAtATime) {
  const at::NoGradGuard no_grad;
  distill::RasterCache cache;
  std::vector<at::Tensor> parts;
  for (std::int64_t j = 0; j < tokens_BL_.size(1); ++j)
    parts.push_back(
        model_->forward_next(labels_B_, j == 0 ? at::Tensor() : tokens_BL_.select(1, j - 1), cache));
  EXPECT_LT(relative_difference(at::stack(parts, 1), file_.tensor("logits")), kOutputBound);
}

TEST_F(RasterArGolden, CrossEntropyAndEveryGradient) {
  const at::Tensor loss = cross_entropy();
  EXPECT_LT(relative_difference(loss, file_.tensor("cross_entropy")), kOutputBound);
  loss.backward();
  expect_gradients(*model_, file_, "grad");
}

TEST_F(RasterArGolden, GradientsUnderActivationCheckpointing) {
  model_->set_activation_checkpointing(true);
  cross_entropy().backward();
  expect_gradients(*model_, file_, "grad");
}

}  // namespace
}  // namespace bitlaw::tests
