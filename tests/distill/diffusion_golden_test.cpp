// Noise, training loss, respaced chains and single steps against tensors that the authors' own code produced.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "distill/diffusion_step.h"
#include "distill/losses/diffusion_loss.h"
#include "tests/distill/models/golden.h"

namespace bitlaw::tests {
namespace {

using distill::NoiseSchedule;
using distill::NoisyLatents;

constexpr double kEarlyStepBound = 1e-5;  // the likelihood of step 0 and its neighbour

class DiffusionGolden : public ::testing::Test {
 protected:
  NoisyLatents noisy(const at::Tensor& steps) {
    return {distill::add_noise(full_, x_, steps, noise_), steps};
  }
  distill::DiffusionLoss loss(const NoisyLatents& latents) {
    const at::Tensor t = distill::timesteps_at(full_, latents.steps_B);
    return distill::diffusion_loss(full_, model_->forward(latents.x_BCSS, t, y_), x_, latents, noise_);
  }
  void expect_loss(const distill::DiffusionLoss& loss, const std::string& group, double bound) {
    EXPECT_LT(relative_difference(loss.mse, file_.tensor(group + "/mse")), kOutputBound);
    EXPECT_LT(relative_difference(loss.vb, file_.tensor(group + "/vb")), bound);
    EXPECT_LT(relative_difference(loss.total(), file_.tensor(group + "/loss")), bound);
  }

  // The chain of a group "respaced_10", "respaced_ddim10".
  NoiseSchedule chain(const std::string& group) const {
    const std::string kind = group.substr(std::string("respaced_").size());
    const bool strided = kind.starts_with("ddim");
    const std::int64_t count = std::stoll(strided ? kind.substr(4) : kind);
    const std::int64_t all = full_.steps();
    return distill::respaced(
        full_, strided ? distill::strided_steps(all, count) : distill::spaced_steps(all, count));
  }
  template <class Check>
  void for_each_chain(const Check& check) {
    std::size_t count = 0;
    for (const std::string& group : file_.names("/")) {
      if (!group.starts_with("respaced_")) continue;
      SCOPED_TRACE(group);
      check(group, chain(group));
      ++count;
    }
    EXPECT_EQ(count, 3U);
  }
  void expect_table(const std::vector<double>& table, const std::string& path) {
    EXPECT_TRUE(at::tensor(table, at::kDouble).to(at::kFloat).equal(file_.tensor(path))) << path;
  }

  GoldenFile file_{"dit.h5"};
  std::shared_ptr<distill::Dit> model_ = golden_dit(file_);
  NoiseSchedule full_ = distill::linear_noise_schedule();
  at::Tensor x_ = file_.tensor("x"), y_ = file_.tensor("y"), noise_ = file_.tensor("noise");
};

TEST_F(DiffusionGolden, LossAndEveryGradient) {
  const NoisyLatents latents = noisy(file_.tensor("t"));
  EXPECT_LT(relative_difference(latents.x_BCSS, file_.tensor("train/x_t")), kOutputBound);
  const distill::DiffusionLoss made = loss(latents);
  expect_loss(made, "train", kOutputBound);
  made.total().mean().backward();
  expect_gradients(*model_, file_, "grad");
}

TEST_F(DiffusionGolden, GradientsUnderActivationCheckpointing) {
  model_->set_activation_checkpointing(true);
  loss(noisy(file_.tensor("t"))).total().mean().backward();
  expect_gradients(*model_, file_, "grad");
}

TEST_F(DiffusionGolden, LossOfTheFirstTwoSteps) {
  const at::NoGradGuard no_grad;
  expect_loss(loss(noisy(at::tensor({0, 1}, at::kLong))), "train_t0_t1", kEarlyStepBound);
}

TEST_F(DiffusionGolden, RespacedTables) {
  for_each_chain([&](const std::string& group, const NoiseSchedule& chain) {
    EXPECT_TRUE(at::tensor(chain.timesteps, at::kLong).equal(file_.tensor(group + "/timesteps")));
    expect_table(chain.betas, group + "/betas");
    expect_table(chain.posterior_variance, group + "/posterior_variance");
    expect_table(chain.posterior_log_variance_clipped, group + "/posterior_log_variance_clipped");
  });
}

TEST_F(DiffusionGolden, OneStepOfEachSampler) {
  const at::NoGradGuard no_grad;
  for_each_chain([&](const std::string& group, const NoiseSchedule& chain) {
    const NoisyLatents latents{x_, at::full({x_.size(0)}, 3, at::kLong)};
    const at::Tensor output = model_->forward(x_, distill::timesteps_at(chain, latents.steps_B), y_);
    const auto expect = [&](const at::Tensor& actual, const std::string& name) {
      EXPECT_LT(relative_difference(actual, file_.tensor(group + "/step3/" + name)), kOutputBound) << name;
    };
    const distill::ReverseStep reverse = distill::reverse_step(chain, output, latents);
    expect(reverse.mean, "mean");
    expect(reverse.log_variance, "log_variance");
    expect(reverse.log_variance.exp(), "variance");
    expect(reverse.predicted_x0, "pred_xstart");
    expect(distill::ddpm_sample(reverse, latents.steps_B, noise_), "ddpm_sample");
    expect(distill::ddim_sample(chain, output, latents, 0.0, {}), "ddim_eta0.0");
    expect(distill::ddim_sample(chain, output, latents, 0.5, noise_), "ddim_eta0.5");
  });
}

}  // namespace
}  // namespace bitlaw::tests
