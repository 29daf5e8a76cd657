// Quantisation without samples: what the walk over a VAR's layers gives, layer by layer.
#include "distill/quantise_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "quant/containers/model_state.h"
#include "quant/prepare.h"
#include "tests/distill/lively_var.h"

namespace bitlaw::distill {
namespace {

quant::QuantConfig config_of(quant::Method method, std::vector<quant::TransformKind> transforms = {}) {
  quant::QuantConfig config;
  config.method = method;
  config.transforms = std::move(transforms);
  config.weights.num_bits = 4;
  config.weights.group_size = 16;
  if (method == quant::Method::hqq) {
    config.weights.symmetric = false;
    config.weights.zero_point_dtype = quant::ZeroPointType::float16;
  }
  config.ignore = {"head"};
  return config;
}

TEST(QuantiseWeights, IsTheWalkWithoutInputs) {
  for (const quant::QuantConfig& config :
       {config_of(quant::Method::hqq), config_of(quant::Method::rtn, {quant::TransformKind::hadamard})}) {
    const auto walked = lively_var(lively_shape());
    const auto alone = lively_var(lively_shape());
    quant::prepare(*walked, config, quant::ScaleInit::from_weights);
    quant::prepare(*alone, config, quant::ScaleInit::from_weights);
    const auto expected = calibrate(*walked, config, {});
    const auto layers = quantise_weights(*alone, config);
    ASSERT_EQ(layers.size(), expected.size());
    EXPECT_GT(layers.front().relative_error, 0.0);
    EXPECT_EQ(quant::parameter_hash(*alone), quant::parameter_hash(*walked));
    EXPECT_EQ(quant::pack_model(*alone, quant::RestType::bfloat16),
              quant::pack_model(*walked, quant::RestType::bfloat16));
  }
}

// Between layers it can be left, and everything is as it was but for the layers that were done.
TEST(QuantiseWeights, AsksBeforeEveryLayerWhetherToGoOn) {
  const quant::QuantConfig config = config_of(quant::Method::hqq);
  const auto model = lively_var(lively_shape());
  quant::prepare(*model, config, quant::ScaleInit::from_weights);
  const auto untouched = lively_var(lively_shape());
  std::size_t asked = 0;
  RankGroup group;
  group.poll = [&] {
    if (++asked == 3) throw std::runtime_error("stop");
  };
  EXPECT_THROW(quantise_weights(*model, config, group), std::runtime_error);
  std::size_t changed = 0;
  for (const auto& [name, linear] : quant::linear_layers(*model)) {
    const at::Tensor before = untouched->named_parameters()[name + ".weight"];
    changed += at::equal(linear->weight, before) ? 0 : 1;
  }
  EXPECT_EQ(changed, 2U);
  asked = 10;
  const std::size_t layers = quantise_weights(*model, config, group).size();
  EXPECT_EQ(asked - 10, layers);
}

TEST(QuantiseWeights, LeavesIgnoredLayersAlone) {
  const auto model = lively_var(lively_shape());
  const at::Tensor head = model->named_parameters()["head.weight"].detach().clone();
  const quant::QuantConfig config = config_of(quant::Method::hqq);
  quant::prepare(*model, config, quant::ScaleInit::from_weights);
  quantise_weights(*model, config);
  EXPECT_TRUE(at::equal(model->named_parameters()["head.weight"], head));
}

}  // namespace
}  // namespace bitlaw::distill
