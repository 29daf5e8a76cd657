// The fused operations of a transformer block against their plain compositions in float64, values and every
// gradient, in float32 and bfloat16.
#include "distill/models/transformer_ops.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "distill/kernels/attention_bf16.h"

namespace bitlaw::distill {
namespace {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<Tensors(const Tensors&)>;

// |a - b| / |b| in the Euclidean norm.
double difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor exact = b.to(at::kDouble);
  const double norm = exact.norm().item<double>();
  return (a.to(at::kDouble) - exact).norm().item<double>() / (norm > 0 ? norm : 1.0);
}

struct Evaluation {
  Tensors values, gradients;
};

// Values, and gradients of sum_i <value_i, weight_i> with fixed random weights.
Evaluation evaluate(const Operation& operation, const Tensors& inputs) {
  Tensors leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  Evaluation result;
  result.values = operation(leaves);
  Tensors weights;
  for (const at::Tensor& value : result.values) {
    const at::Tensor ramp = at::arange(value.numel(), at::kDouble).mul(0.7).sin().view(value.sizes());
    weights.push_back(ramp.to(at::kBFloat16).to(value.scalar_type()));
  }
  result.gradients = torch::autograd::grad(result.values, leaves, weights);
  return result;
}

Tensors in_double(const Tensors& inputs) {
  Tensors result;
  for (const at::Tensor& input : inputs) result.push_back(input.to(at::kDouble));
  return result;
}

void expect_agreement(const Operation& fused, const Operation& plain, const Tensors& inputs, double bound) {
  const Evaluation actual = evaluate(fused, inputs), expected = evaluate(plain, in_double(inputs));
  ASSERT_EQ(actual.values.size(), expected.values.size());
  for (std::size_t i = 0; i < actual.values.size(); ++i)
    EXPECT_LT(difference(actual.values[i], expected.values[i]), bound) << "value " << i;
  for (std::size_t i = 0; i < actual.gradients.size(); ++i) {
    EXPECT_EQ(actual.gradients[i].scalar_type(), inputs[i].scalar_type());
    EXPECT_LT(difference(actual.gradients[i], expected.gradients[i]), bound) << "gradient " << i;
  }
}

constexpr std::int64_t kBatch = 3, kTokens = 10, kWidth = 48;
constexpr double kFloatBound = 2e-6, kBfloatBound = 6e-3;

at::Tensor modulation(std::int64_t vectors) {  // all AdaLN vectors, of which the operations take slices
  return at::randn({kBatch, vectors, kWidth});
}

TEST(GatedAddNorm, EqualsTheComposition) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::manual_seed(1);
    const Tensors inputs = {at::randn({kBatch, kTokens, kWidth}) * 2 + 1,
                            at::randn({kBatch, kTokens, kWidth}).to(type), modulation(3)};
    const Operation fused = [](const Tensors& x) {
      const Residual r = gated_add_norm(x[0], x[1], x[2].select(1, 0), x[2].select(1, 1), x[2].select(1, 2));
      return Tensors{r.sum, r.normed};
    };
    const Operation plain = [](const Tensors& x) {
      const at::Tensor sum = reference::gated_add(x[0], x[1], x[2].select(1, 0));
      return Tensors{sum, reference::modulated_norm(sum, x[2].select(1, 1), x[2].select(1, 2), at::kDouble)};
    };
    expect_agreement(fused, plain, inputs, type == at::kFloat ? kFloatBound : kBfloatBound);
  }
}

TEST(ModulatedNorm, EqualsTheComposition) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::manual_seed(2);
    const Tensors inputs = {at::randn({kBatch, kTokens, kWidth}) - 3, modulation(2)};
    const auto with = [type](const auto& norm, at::ScalarType out) {
      return [norm, out](const Tensors& x) {
        return Tensors{norm(x[0], x[1].select(1, 0), x[1].select(1, 1), out)};
      };
    };
    expect_agreement(with(modulated_norm, type), with(reference::modulated_norm, at::kDouble), inputs,
                     type == at::kFloat ? kFloatBound : kBfloatBound);
  }
}

TEST(GatedAdd, EqualsTheComposition) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::manual_seed(3);
    const Tensors inputs = {at::randn({kBatch, kTokens, kWidth}),
                            at::randn({kBatch, kTokens, kWidth}).to(type), at::randn({kBatch, kWidth})};
    expect_agreement([](const Tensors& x) { return Tensors{gated_add(x[0], x[1], x[2])}; },
                     [](const Tensors& x) { return Tensors{reference::gated_add(x[0], x[1], x[2])}; }, inputs,
                     type == at::kFloat ? kFloatBound : kBfloatBound);
  }
}

// One output alone reaches the loss: the gradient of the other is absent, not garbage.
TEST(GatedAddNorm, OneOutputUnused) {
  at::manual_seed(4);
  const Tensors inputs = {at::randn({kBatch, kTokens, kWidth}), at::randn({kBatch, kTokens, kWidth}),
                          modulation(3)};
  for (const bool take_sum : {true, false}) {
    const auto pick = [take_sum](const at::Tensor& sum, const at::Tensor& normed, const at::Tensor& vectors) {
      return Tensors{(take_sum ? sum : normed) + vectors.sum() * 0};
    };
    expect_agreement(
        [&](const Tensors& x) {
          const Residual r =
              gated_add_norm(x[0], x[1], x[2].select(1, 0), x[2].select(1, 1), x[2].select(1, 2));
          return pick(r.sum, r.normed, x[2]);
        },
        [&](const Tensors& x) {
          const at::Tensor sum = reference::gated_add(x[0], x[1], x[2].select(1, 0));
          return pick(sum, reference::modulated_norm(sum, x[2].select(1, 1), x[2].select(1, 2), at::kDouble),
                      x[2]);
        },
        inputs, kFloatBound);
  }
}

// Widths that no vector divides, and other dtypes, take the composition.
TEST(ModulatedNorm, OtherWidthsAndTypesWork) {
  const at::Tensor x = at::randn({2, 3, 10}), scale = at::randn({2, 10}), shift = at::randn({2, 10});
  EXPECT_TRUE(modulated_norm(x, scale, shift, at::kFloat)
                  .equal(reference::modulated_norm(x, scale, shift, at::kFloat)));
  EXPECT_EQ(modulated_norm(x, scale, shift, at::kHalf).scalar_type(), at::kHalf);
}

TEST(GeluTanh, EqualsItsFormula) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = at::linspace(-12, 12, 1003).to(type);  // not a multiple of any vector
    expect_agreement([](const Tensors& in) { return Tensors{gelu_tanh(in[0])}; },
                     [](const Tensors& in) {
                       const at::Tensor u = (in[0] + in[0].pow(3) * 0.044715) * std::sqrt(2 / M_PI);
                       return Tensors{in[0] * 0.5 * (u.tanh() + 1)};
                     },
                     {x}, type == at::kFloat ? 1e-6 : kBfloatBound);
  }
}

// bfloat16 attention on its kernel, where the CPU has it, and on the composition elsewhere.
TEST(BlockCausalAttention, EqualsTheCompositionInDouble) {
  const std::vector<std::int64_t> ends = {1, 5, 14, 30, 115, 196};  // scales of odd length, and of two chunks
  for (const bool unit_length : {true, false}) {
    at::manual_seed(5);
    const Tensors inputs = {at::randn({2, 196, 3 * 96}).to(at::kBFloat16), at::tensor({4.0F, 9.0F, 2.0F})};
    const auto with = [&](const auto& attention) {
      return [&, attention](const Tensors& x) {
        const at::Tensor out = attention(x[0], 3, unit_length ? x[1] : at::Tensor(), ends);
        return Tensors{unit_length ? out : out + (x[1].sum() * 0).to(out.scalar_type())};
      };
    };
    expect_agreement(with(block_causal_attention), with(reference::block_causal_attention), inputs, 1e-2);
  }
}

TEST(BlockCausalAttention, LargeScoresStayFinite) {
  at::manual_seed(6);
  const at::Tensor qkv = (at::randn({1, 30, 3 * 32}) * 30).to(at::kBFloat16).requires_grad_();
  const at::Tensor out = block_causal_attention(qkv, 1, at::tensor({100.0F}), {1, 5, 14, 30});
  EXPECT_TRUE(out.isfinite().all().item<bool>());
  out.sum().backward();
  EXPECT_TRUE(qkv.grad().isfinite().all().item<bool>());
  const at::Tensor exact =
      reference::block_causal_attention(qkv.detach().to(at::kDouble), 1, at::tensor({100.0}), {1, 5, 14, 30});
  EXPECT_LT(difference(out.detach(), exact), 0.1);  // a score of 100 moves by 0.4 in bfloat16
}

TEST(FloatProduct, EqualsTheCompositionInDouble) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::manual_seed(7);
    const Tensors inputs = {at::randn({2, 21, 34}).to(type), at::randn({80, 34}).to(type), at::randn({80})};
    const Operation fused = [](const Tensors& x) { return Tensors{float_product(x[0], x[1], x[2])}; };
    const Operation plain = [](const Tensors& x) { return Tensors{at::linear(x[0], x[1], x[2])}; };
    expect_agreement(fused, plain, inputs, type == at::kFloat ? kFloatBound : kBfloatBound);
    // the value loses nothing but its operands' rounding
    const at::Tensor value = fused(inputs)[0];
    EXPECT_EQ(value.scalar_type(), at::kFloat);
    EXPECT_LT(difference(value, plain(in_double(inputs))[0]), 1e-6);
    const at::Tensor without_bias = float_product(inputs[0], inputs[1], {});
    EXPECT_TRUE(without_bias.equal(float_product(inputs[0], inputs[1], at::zeros({80}))));
  }
}

}  // namespace
}  // namespace bitlaw::distill
