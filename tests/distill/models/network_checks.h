// What the tests of every network ask: names and shapes as published, the same after export, and the same
// gradients under activation checkpointing.
#pragma once

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "distill/models/weights.h"
#include "quant/containers/model_state.h"
#include "quant/prepare.h"

namespace bitlaw::distill {

using Run = std::function<at::Tensor()>;  // the network's output on fixed inputs

// Every parameter matters: the published initial values leave gates and output closed.
inline void make_lively(torch::nn::Module& model) {
  at::manual_seed(11);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : model.parameters()) parameter.normal_(0, 0.3);
}

// Parameters, and the buffers `also`, are exactly those of the list.
inline void expect_published(const torch::nn::Module& model, const std::vector<WeightShape>& list,
                             const std::vector<std::string>& also = {}) {
  std::map<std::string, std::vector<std::int64_t>> own, published;
  for (const auto& item : model.named_parameters()) own[item.key()] = item.value().sizes().vec();
  for (const std::string& name : also) own[name] = model.named_buffers()[name].sizes().vec();
  for (const WeightShape& weight : list) published[weight.name] = weight.shape;
  EXPECT_EQ(own, published);
}

inline std::vector<at::Tensor> gradients_of(torch::nn::Module& model, const Run& run) {
  model.zero_grad();
  const at::Tensor output = run();
  (output.square().sum() + output.sum()).backward();
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
  AutocastOnCpu(const AutocastOnCpu&) = delete;
  AutocastOnCpu& operator=(const AutocastOnCpu&) = delete;
};

template <class Network>
void expect_checkpointing_changes_no_bit(Network& model, const Run& run) {
  for (const bool bf16 : {false, true}) {
    const AutocastOnCpu autocast(bf16);
    model.set_activation_checkpointing(false);
    const auto plain = gradients_of(model, run);
    model.set_activation_checkpointing(true);
    const auto checkpointed = gradients_of(model, run);
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(plain[i].equal(checkpointed[i])) << i;
  }
}

inline void expect_bfloat16_near_float32(const Run& run) {
  const at::NoGradGuard no_grad;
  const at::Tensor full = run();
  const AutocastOnCpu autocast(true);
  const at::Tensor half = run();
  EXPECT_EQ(half.scalar_type(), at::kFloat);
  const double error = (half - full).norm().item<double>() / full.norm().item<double>();
  EXPECT_LT(error, 0.03);
  EXPECT_GT(error, 0);
}

// Prepares `model` and packs it into `plain`, a full-precision one: the same output to the bit, of codes that
// changed it.
inline void expect_export_gives_the_same(torch::nn::Module& model, const Run& run, torch::nn::Module& plain,
                                         const Run& run_plain) {
  const at::NoGradGuard no_grad;
  const at::Tensor before = run();
  quant::QuantConfig config;
  config.method = quant::Method::lsq;
  config.weights.num_bits = 3;
  config.weights.strategy = quant::Strategy::group;
  config.weights.group_size = 16;
  const quant::PrepareReport report = quant::prepare(model, config, quant::ScaleInit::from_weights);
  EXPECT_EQ(report.layers.size(), quant::linear_layers(model).size());
  quant::load_packed(plain, quant::pack_model(model, config.rest_dtype));
  EXPECT_TRUE(run_plain().equal(run()));
  EXPECT_FALSE(run().equal(before));
}

}  // namespace bitlaw::distill
