// The transformer's size, its cached forward, activation checkpointing and initial values.
#include "distill/models/var.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/formats/input_error.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {
namespace {

std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

// Sum of the published shapes.
std::int64_t expected_count(const VarShape& shape) {
  const std::int64_t c = shape.width, v = shape.vocab_size, l = token_count(shape.patch_nums);
  const std::int64_t scale_mul = shape.attn_l2_norm ? shape.num_heads : 0;
  const std::int64_t ada = 6 * c * c + 6 * c;
  const std::int64_t block = 12 * c * c + 8 * c + scale_mul + (shape.shared_ada_lin ? 6 * c : ada);
  const auto scales = static_cast<std::int64_t>(shape.patch_nums.size());
  return c + l * c + shape.latent_channels * c + c + (shape.num_classes + 1) * c + scales * c +
         shape.depth * block + (shape.shared_ada_lin ? ada : 0) + 2 * c * c + 2 * c + v * c + v;
}

VarShape published(std::int64_t depth) {
  ModelConfig config;
  config.depth = depth;
  config.width = 64 * depth;
  return var_shape(config, VqConfig{}, 1000);
}

VarShape small() {
  VarShape shape;
  shape.depth = 2;
  shape.width = 32;
  shape.num_heads = 2;
  shape.num_classes = 5;
  shape.vocab_size = 40;
  shape.latent_channels = 6;
  shape.patch_nums = {1, 2, 3};
  return shape;
}

// A model whose every parameter matters: the published values leave gates and head almost closed.
std::shared_ptr<Var> lively(const VarShape& shape) {
  at::manual_seed(11);
  auto model = std::make_shared<Var>(shape);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : model->parameters()) parameter.normal_(0, 0.3);
  return model;
}

struct Inputs {
  at::Tensor labels_B, var_input_BLE;
};

Inputs inputs_of(const VarShape& shape, std::int64_t batch) {
  at::manual_seed(12);
  return {at::arange(batch) % (shape.num_classes + 1),
          at::randn({batch, token_count(shape.patch_nums) - 1, shape.latent_channels})};
}

TEST(Var, PublishedSizes) {
  EXPECT_EQ(published(16).num_heads, 16);
  EXPECT_EQ(expected_count(published(8)), 41315904);
  EXPECT_EQ(expected_count(published(12)), 133186960);
  EXPECT_EQ(expected_count(published(20)), 600917136);
  EXPECT_EQ(expected_count(published(24)), 1033399360);
  EXPECT_EQ(expected_count(published(30)), 2010020356);
  VarShape d36 = published(36);
  d36.shared_ada_lin = true;
  d36.patch_nums = {1, 2, 3, 4, 6, 9, 13, 18, 24, 32};
  EXPECT_EQ(expected_count(d36), 2353893904);
  for (const VarShape& shape : {published(2), small()})
    EXPECT_EQ(parameter_count(Var(shape)), expected_count(shape));
}

TEST(Var, DepthSixteenAllocated) {
  const Var model(published(16));
  EXPECT_EQ(parameter_count(model), 310283520);
}

TEST(Var, SharedAdaLinCount) {
  VarShape shape = small();
  shape.shared_ada_lin = true;
  shape.attn_l2_norm = false;
  EXPECT_EQ(parameter_count(Var(shape)), expected_count(shape));
}

TEST(Var, HeadsMustDivideTheWidth) {
  ModelConfig config;
  config.width = 100;
  config.num_heads = 3;
  try {
    var_shape(config, VqConfig{}, 10);
    FAIL() << "not refused";
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("model.num_heads: 3 does not divide model.width 100"));
  }
}

TEST(Var, CachedScalesEqualTheFullForward) {
  const at::NoGradGuard no_grad;
  for (const bool l2_norm : {true, false}) {
    for (const bool shared : {true, false}) {
      VarShape shape = small();
      shape.attn_l2_norm = l2_norm;
      shape.shared_ada_lin = shared;
      const auto model = lively(shape);
      const Inputs inputs = inputs_of(shape, 3);
      const at::Tensor full = model->forward(inputs.labels_B, inputs.var_input_BLE);
      KvCache cache;
      std::vector<at::Tensor> parts;
      std::int64_t begin = 0;
      for (std::size_t k = 0; k < shape.patch_nums.size(); ++k) {
        const std::int64_t tokens = shape.patch_nums[k] * shape.patch_nums[k];
        const at::Tensor input = k == 0 ? at::Tensor() : inputs.var_input_BLE.narrow(1, begin - 1, tokens);
        parts.push_back(model->forward_scale(inputs.labels_B, input, static_cast<std::int64_t>(k), cache));
        begin += tokens;
      }
      const double scale = full.abs().max().item<double>();
      EXPECT_LT((at::cat(parts, 1) - full).abs().max().item<double>(), 2e-6 * scale);
    }
  }
}

// Inputs of later scales do not reach the logits of earlier ones.
TEST(Var, IsBlockCausal) {
  const at::NoGradGuard no_grad;
  const VarShape shape = small();
  const auto model = lively(shape);
  const Inputs inputs = inputs_of(shape, 2);
  at::Tensor changed = inputs.var_input_BLE.clone();
  changed.slice(1, 4).add_(1);  // tokens 5..: the third scale
  const at::Tensor before = model->forward(inputs.labels_B, inputs.var_input_BLE);
  const at::Tensor after = model->forward(inputs.labels_B, changed);
  EXPECT_TRUE(after.slice(1, 0, 5).equal(before.slice(1, 0, 5)));
  EXPECT_GT((after - before).slice(1, 5).abs().max().item<double>(), 1e-3);
  // all tokens of a scale see one another: the last token of scale 1 reaches its first
  changed = inputs.var_input_BLE.clone();
  changed.select(1, 3).add_(1);
  EXPECT_GT((model->forward(inputs.labels_B, changed) - before).select(1, 1).abs().max().item<double>(),
            1e-4);
}

std::vector<at::Tensor> gradients(Var& model, const Inputs& inputs) {
  model.zero_grad();
  const at::Tensor logits = model.forward(inputs.labels_B, inputs.var_input_BLE);
  (logits.square().sum() + logits.sum()).backward();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : model.parameters()) gradients.push_back(parameter.grad().clone());
  return gradients;
}

class AutocastOnCpu {
 public:
  explicit AutocastOnCpu(bool on) {
    at::autocast::set_autocast_enabled(at::kCPU, on);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~AutocastOnCpu() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

TEST(Var, CheckpointingGivesTheSameGradientsToTheBit) {
  for (const bool bf16 : {false, true}) {
    VarShape shape = small();
    shape.shared_ada_lin = bf16;
    const auto model = lively(shape);
    const Inputs inputs = inputs_of(shape, 3);
    const AutocastOnCpu autocast(bf16);
    const auto plain = gradients(*model, inputs);
    model->set_activation_checkpointing(true);
    const auto checkpointed = gradients(*model, inputs);
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(plain[i].equal(checkpointed[i])) << i;
  }
}

TEST(Var, Bfloat16StaysNearFloat32) {
  const VarShape shape = small();
  const auto model = lively(shape);
  const Inputs inputs = inputs_of(shape, 3);
  const at::NoGradGuard no_grad;
  const at::Tensor full = model->forward(inputs.labels_B, inputs.var_input_BLE);
  const AutocastOnCpu autocast(true);
  const at::Tensor half = model->forward(inputs.labels_B, inputs.var_input_BLE);
  EXPECT_EQ(half.scalar_type(), at::kFloat);
  const double error = (half - full).norm().item<double>() / full.norm().item<double>();
  EXPECT_LT(error, 0.03);
  EXPECT_GT(error, 0);
}

TEST(Var, InitialValues) {
  VarShape shape = small();
  shape.width = 64;
  Var a(shape), b(shape);
  initialise(a, 1e-3, 7);
  initialise(b, 1e-3, 7);
  const auto parameters = a.named_parameters(), again = b.named_parameters();
  for (const auto& item : parameters) EXPECT_TRUE(item.value().equal(again[item.key()])) << item.key();
  const auto deviation = [&](const std::string& name) { return parameters[name].std().item<double>(); };
  const double unit = std::sqrt(1.0 / (3 * 64));
  EXPECT_NEAR(deviation("blocks.0.attn.mat_qkv.weight") / unit, 1, 0.03);
  EXPECT_NEAR(deviation("blocks.1.attn.proj.weight") / unit, 0.5, 0.03);
  EXPECT_NEAR(deviation("blocks.1.ffn.fc2.weight") / unit, 0.5, 0.03);
  EXPECT_NEAR(deviation("head.weight") / unit, 0.02, 0.001);
  EXPECT_NEAR(deviation("head_nm.ada_lin.1.weight") / unit, 0.5, 0.03);
  const at::Tensor ada_lin = parameters["blocks.0.ada_lin.1.weight"];
  EXPECT_NEAR(ada_lin.slice(0, 0, 128).std().item<double>() / unit, 1e-3, 3e-5);
  EXPECT_NEAR(ada_lin.slice(0, 128).std().item<double>() / unit, 0.5, 0.02);
  EXPECT_EQ(parameters["blocks.0.ffn.fc1.bias"].abs().max().item<double>(), 0);
  EXPECT_FLOAT_EQ(parameters["blocks.0.attn.scale_mul_1H11"].mean().item<float>(), std::log(4.0F));
}

}  // namespace
}  // namespace bitlaw::distill
