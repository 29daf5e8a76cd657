// The transformer against tensors that the authors' own code produced: logits, loss, every gradient, with and
// without q/k norm and shared AdaLN, whatever groups the file has.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/distill/models/golden.h"

namespace bitlaw::tests {
namespace {

class VarGolden : public ::testing::Test {
 protected:
  // Runs `check` on every transformer of the file.
  template <class Check>
  void for_each_group(const Check& check) {
    const std::vector<std::string> groups = transformer_groups(file_);
    ASSERT_FALSE(groups.empty());
    for (const std::string& group : groups) {
      SCOPED_TRACE(group);
      check(group, *golden_var(file_, group));
    }
  }

  at::Tensor logits_of(distill::Var& model, const std::string& group) {
    return model.forward(file_.tensor(group + "/labels"), file_.tensor("tokenizer/var_input"));
  }

  at::Tensor cross_entropy(const at::Tensor& logits) {
    return at::cross_entropy_loss(logits.flatten(0, 1), file_.tensor("tokenizer/tokens").flatten());
  }

  GoldenFile file_{"var.h5"};
};

TEST_F(VarGolden, BuffersAreThePublishedOnes) {
  for_each_group([&](const std::string& group, distill::Var& model) {
    for (const auto& buffer : model.named_buffers())
      EXPECT_TRUE(buffer.value().equal(file_.tensor(group + "/state/" + buffer.key()))) << buffer.key();
  });
}

TEST_F(VarGolden, Logits) {
  const at::NoGradGuard no_grad;
  for_each_group([&](const std::string& group, distill::Var& model) {
    EXPECT_LT(relative_difference(logits_of(model, group), file_.tensor(group + "/logits")), kOutputBound);
  });
}

TEST_F(VarGolden, CrossEntropyAndEveryGradient) {
  for_each_group([&](const std::string& group, distill::Var& model) {
    const at::Tensor loss = cross_entropy(logits_of(model, group));
    EXPECT_LT(relative_difference(loss, file_.tensor(group + "/cross_entropy")), kOutputBound);
    loss.backward();
    expect_gradients(model, file_, group + "/grad");
  });
}

TEST_F(VarGolden, GradientsUnderActivationCheckpointing) {
  for_each_group([&](const std::string& group, distill::Var& model) {
    model.set_activation_checkpointing(true);
    cross_entropy(logits_of(model, group)).backward();
    expect_gradients(model, file_, group + "/grad");
  });
}

}  // namespace
}  // namespace bitlaw::tests
