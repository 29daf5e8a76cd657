// Folding of input multipliers: exact in double where they are absorbed, and all of them at once in a
// network.
#include "distill/fold.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/prepare.h"
#include "quant/ste.h"
#include "tests/distill/lively_var.h"

namespace bitlaw::distill {
namespace {

constexpr std::int64_t kWidth = 16;

at::Tensor normal(at::IntArrayRef shape) {
  return at::randn(shape, at::kDouble);
}

at::Tensor positive_multiplier(std::int64_t count) {
  return (at::randn({count}) * 1.5).exp();
}

double largest(const at::Tensor& x) {
  return x.abs().max().item<double>();
}

TEST(Fold, ModulationIsExactInDouble) {
  at::manual_seed(1);
  const at::Tensor ada_weight = normal({6 * kWidth, kWidth}), ada_bias = normal({6 * kWidth});
  const at::Tensor weight = normal({3 * kWidth, kWidth});
  const at::Tensor x = normal({10, kWidth}), cond = normal({10, kWidth});
  const at::Tensor m = positive_multiplier(kWidth);
  VarShape shape = lively_shape();
  shape.width = kWidth;
  for (const std::string layer : {"blocks.0.attn.mat_qkv", "blocks.0.ffn.fc1"}) {
    const Fold where = var_folds(shape).at(layer);
    const std::int64_t scale = layer.ends_with("mat_qkv") ? 2 : 3;
    const auto output = [&](const at::Tensor& rows, const at::Tensor& bias, const at::Tensor& matrix) {
      const at::Tensor vectors = (at::matmul(cond, rows.t()) + bias).view({10, 6, kWidth});
      const at::Tensor y = x * (1.0 + vectors.select(1, scale)) + vectors.select(1, scale + 2);
      return at::matmul(y, matrix.t());
    };
    const at::Tensor folded_weight = ada_weight.clone(), folded_bias = ada_bias.clone();
    fold(where, folded_weight, folded_bias, m);
    const at::Tensor before = output(ada_weight, ada_bias, weight);
    const at::Tensor after = output(folded_weight, folded_bias, weight / m.to(at::kDouble));
    EXPECT_LT(largest(before - after), 1e-12 * largest(before)) << layer;
    EXPECT_FALSE(at::equal(folded_weight, ada_weight));
    EXPECT_EQ(folded_weight.ne(ada_weight).any(1).sum().item<std::int64_t>(), 2 * kWidth);
  }
}

// The deployed network's modulation is 1 + bfloat16(b): the multiplier that is folded is what that gives.
TEST(Fold, ModulationIsExactWithABiasInHalfPrecision) {
  at::manual_seed(4);
  VarShape shape = lively_shape();
  shape.width = 1024;
  const Fold where = var_folds(shape).at("blocks.0.ffn.fc1");
  at::Tensor bias = at::randn({6 * shape.width}) * 0.1;
  bias[where.first_row] = -1.0F;         // closed: nothing can be folded
  bias[where.first_row + 1] = -1.0001F;  // nearly so
  bias[where.first_row + 2] = -3.0F;
  const at::Tensor wanted = (at::randn({shape.width}) * 1.5).exp() * 0.14;
  const auto scales = [&](const at::Tensor& of) {
    return 1.0 + of.narrow(0, where.first_row, shape.width).to(at::kDouble);
  };
  for (const auto type : {quant::RestType::bfloat16, quant::RestType::float16, quant::RestType::float32}) {
    const auto deployed = [&](const at::Tensor& multiplier) {
      const at::Tensor folded = bias.clone();
      fold(where, at::zeros({6 * shape.width, 4}), folded, multiplier);
      return scales(quant::round_straight_through(folded, type));
    };
    const at::Tensor m = exact_multiplier(where, bias, wanted, type);
    ASSERT_TRUE(at::isfinite(m).all().item<bool>() && m.gt(0).all().item<bool>());
    const at::Tensor exact = scales(bias) * m.to(at::kDouble);
    // Channels that keep multiplier 1 keep the rounding of their bias; all others lose no more than float32.
    const at::Tensor lost = ((deployed(m) - exact).abs() / exact.abs()).masked_fill(m.eq(1.0), 0.0);
    EXPECT_LT(largest(lost), 1e-4);
    EXPECT_LT(lost.median().item<double>(), 1e-6);
    EXPECT_LT(m.eq(1.0).sum().item<std::int64_t>(), 10);
    EXPECT_LT((m / wanted).log().abs().median().item<double>(), 0.02);
    if (type == quant::RestType::bfloat16) {
      const at::Tensor plain = scales(bias) * wanted.to(at::kDouble);
      const at::Tensor unfolded =
          ((deployed(wanted) - plain).abs() / plain.abs()).masked_fill(plain.eq(0.0), 0.0);
      EXPECT_GT(largest(unfolded), 0.05);  // what it is about
    }
  }
}

TEST(Fold, ValuesAreExactInDouble) {
  at::manual_seed(2);
  const at::Tensor qkv = normal({3 * kWidth, kWidth}), v_bias = normal({kWidth});
  const at::Tensor proj = normal({kWidth, kWidth}), x = normal({10, kWidth});
  const at::Tensor attention = normal({10, 10}).softmax(1);
  const at::Tensor m = positive_multiplier(kWidth);
  VarShape shape = lively_shape();
  shape.width = kWidth;
  const auto output = [&](const at::Tensor& rows, const at::Tensor& bias, const at::Tensor& matrix) {
    const at::Tensor v = at::matmul(x, rows.narrow(0, 2 * kWidth, kWidth).t()) + bias;
    return at::matmul(at::matmul(attention, v), matrix.t());
  };
  const at::Tensor folded_qkv = qkv.clone(), folded_bias = v_bias.clone();
  fold(var_folds(shape).at("blocks.1.attn.proj"), folded_qkv, folded_bias, m);
  const at::Tensor before = output(qkv, v_bias, proj);
  EXPECT_LT(largest(before - output(folded_qkv, folded_bias, proj / m.to(at::kDouble))),
            1e-12 * largest(before));
  EXPECT_TRUE(at::equal(folded_qkv.narrow(0, 0, 2 * kWidth), qkv.narrow(0, 0, 2 * kWidth)));
}

TEST(Fold, AWholeNetworkComputesTheSame) {
  for (const bool shared : {false, true}) {
    VarShape shape = lively_shape();
    shape.shared_ada_lin = shared;
    const auto model = lively_var(shape);
    const VarInputs inputs = lively_inputs(shape, 4);
    const at::NoGradGuard no_grad;
    const at::Tensor before = model->forward(inputs.labels_B, inputs.var_input_BLE);
    const auto parameters = model->named_parameters();
    const auto folds = var_folds(shape);
    EXPECT_EQ(folds.size(), shared ? 3U : 7U);
    for (const auto& [name, linear] : quant::linear_layers(*model)) {
      if (const auto found = folds.find(name); found != folds.end()) {
        const at::Tensor m = positive_multiplier(linear->weight.size(1));
        linear->weight.div_(m);
        fold(found->second, parameters[found->second.producer + ".weight"], parameters[found->second.bias],
             m);
      }
    }
    const at::Tensor after = model->forward(inputs.labels_B, inputs.var_input_BLE);
    EXPECT_LT(largest(after - before), 1e-4 * largest(before)) << shared;
  }
}

TEST(Fold, NothingAbsorbsWhatMeetsFc2OrAnAdaLnLayer) {
  for (const auto& [name, where] : var_folds(lively_shape())) {
    EXPECT_THAT(name, testing::Not(testing::HasSubstr("fc2")));
    EXPECT_THAT(name, testing::Not(testing::HasSubstr("ada_lin")));
  }
}

}  // namespace
}  // namespace bitlaw::distill
