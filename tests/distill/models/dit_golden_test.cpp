// The diffusion transformer against tensors that the authors' own code produced.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/distill/models/golden.h"

namespace bitlaw::tests {
namespace {

class DitGolden : public ::testing::Test {
 protected:
  at::Tensor output(const std::string& prefix) {
    return model_->forward(file_.tensor(prefix + "x"), file_.tensor(prefix + "t"),
                           file_.tensor(prefix + "y"));
  }

  GoldenFile file_{"dit.h5"};
  std::shared_ptr<distill::Dit> model_ = golden_dit(file_);
  at::NoGradGuard no_grad_;
};

TEST_F(DitGolden, PositionsAreThePublishedOnes) {
  EXPECT_TRUE(model_->named_buffers()["pos_embed"].equal(file_.tensor("state/pos_embed")));
}

TEST_F(DitGolden, Output) {
  EXPECT_LT(relative_difference(output(""), file_.tensor("out")), kOutputBound);
}

// The file has both halves of the doubled batch: the labels', and the dropped labels' with channels of its
// own outside the guided three.
TEST_F(DitGolden, Guidance) {
  const std::vector<at::Tensor> expected = file_.tensor("cfg/out_scale4").chunk(2);
  const at::Tensor x = file_.tensor("cfg/x").chunk(2)[0], t = file_.tensor("cfg/t").chunk(2)[0];
  const std::vector<at::Tensor> labels = file_.tensor("cfg/y").chunk(2);
  ASSERT_TRUE(labels[1].equal(at::full_like(labels[1], model_->shape().num_classes)));
  const at::Tensor guided = model_->forward_guided(x, t, labels[0], 4.0);
  EXPECT_LT(relative_difference(guided, expected[0]), kOutputBound);
  EXPECT_LT(relative_difference(guided.slice(1, 0, 3), expected[1].slice(1, 0, 3)), kOutputBound);
  EXPECT_LT(relative_difference(model_->forward(x, t, labels[1]).slice(1, 3), expected[1].slice(1, 3)),
            kOutputBound);
}

}  // namespace
}  // namespace bitlaw::tests
