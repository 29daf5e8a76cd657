// Layers against LibTorch's own functions.
#include "quant/layers.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "tests/quant/tensors.h"

namespace bitlaw::quant {
namespace {

class Autocast {  // bfloat16 on the CPU while it lives
 public:
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

void fill(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  std::uint64_t seed = 20;
  for (const at::Tensor& parameter : module.parameters()) {
    parameter.copy_(normal_tensor(parameter.sizes(), seed++));
  }
}

std::shared_ptr<Linear> make_linear(std::int64_t in, std::int64_t out) {
  auto linear = std::make_shared<Linear>(in, out);
  fill(*linear);
  return linear;
}

void attach(Linear& linear, const std::string& spec, std::optional<QuantSpec> activations = std::nullopt) {
  auto quantizer = std::make_shared<Quantizer>(QuantSpec::parse(spec), Method::lsq, linear.weight.size(0),
                                               linear.weight.size(1));
  quantizer->initialise(linear.weight, ScaleSearch::absmax);
  linear.attach(quantizer, std::move(activations));
}

TEST(Linear, IsPlainInFullPrecision) {
  const auto linear = make_linear(8, 5);
  const at::Tensor x = normal_tensor({2, 3, 8}, 1);
  EXPECT_TRUE(same_bits(linear->forward(x), at::linear(x, linear->weight, linear->bias)));
  EXPECT_EQ(linear->named_parameters().keys(), (std::vector<std::string>{"weight", "bias"}));
}

TEST(Linear, RoundsToTheRestTypeStraightThrough) {
  const auto linear = make_linear(8, 5);
  linear->set_rest_dtype(RestType::bfloat16);
  const at::Tensor rounded = linear->weight.to(at::kBFloat16).to(at::kFloat);
  EXPECT_TRUE(same_bits(linear->effective_weight(), rounded));
  EXPECT_FALSE(same_bits(linear->weight, rounded));
  const at::Tensor x = normal_tensor({3, 8}, 1);
  const at::Tensor grad = normal_tensor({3, 5}, 2);
  linear->forward(x).backward(grad);
  EXPECT_TRUE(at::allclose(linear->weight.grad(), at::mm(grad.t(), x), 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(linear->bias.grad(), grad.sum(0), 1e-5, 1e-6));
}

TEST(Linear, MultipliesTheFakeQuantisedWeight) {
  const auto linear = make_linear(64, 5);
  attach(*linear, "int4.g32.sym");
  linear->set_rest_dtype(RestType::bfloat16);
  const at::Tensor x = normal_tensor({7, 64}, 1);
  const at::Tensor weight = linear->weight_quantizer()->forward(linear->weight);
  EXPECT_TRUE(same_bits(linear->forward(x), at::linear(x, weight, linear->effective_bias())));
  EXPECT_EQ(linear->named_parameters().keys(),
            (std::vector<std::string>{"weight", "bias", "weight_quantizer.log_scale"}));
  linear->forward(x).sum().backward();
  EXPECT_TRUE(linear->weight_quantizer()->named_parameters()["log_scale"].grad().defined());
  linear->attach(nullptr, std::nullopt);
  EXPECT_TRUE(
      same_bits(linear->forward(x), at::linear(x, linear->effective_weight(), linear->effective_bias())));
  EXPECT_EQ(linear->named_parameters().size(), 2);
}

TEST(Linear, UnderAutocastGivesTheProductOfBfloat16Operands) {
  const auto linear = make_linear(64, 5);
  attach(*linear, "int3.g32.asym");
  const at::Tensor x = normal_tensor({7, 64}, 1);
  const at::Tensor expected = at::linear(x.to(at::kBFloat16), linear->effective_weight().to(at::kBFloat16),
                                         linear->bias.to(at::kBFloat16));
  const Autocast autocast;
  const at::Tensor y = linear->forward(x);
  EXPECT_TRUE(same_bits(y, expected));
  y.backward(at::ones_like(y));
  EXPECT_EQ(linear->weight.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(linear->bias.grad().scalar_type(), at::kFloat);
}

// What a file holds (dequantised values) gives the same products as the quantizer that made it.
TEST(Linear, DequantisedWeightGivesTheSameOutputUnderAutocast) {
  const auto trained = make_linear(64, 5);
  attach(*trained, "int4.g32.sym");
  const auto loaded = std::make_shared<Linear>(64, 5);
  {
    const at::NoGradGuard no_grad;
    loaded->weight.copy_(trained->effective_weight());
    loaded->bias.copy_(trained->bias);
  }
  const at::Tensor x = normal_tensor({7, 64}, 1);
  EXPECT_TRUE(same_bits(trained->forward(x), loaded->forward(x)));
  const Autocast autocast;
  EXPECT_TRUE(same_bits(trained->forward(x), loaded->forward(x)));
}

TEST(Linear, QuantisesItsInputPerToken) {
  const auto linear = make_linear(64, 5);
  const QuantSpec activations = QuantSpec::parse("int8.token.sym");
  attach(*linear, "int4.g32.sym", activations);
  const at::Tensor x = normal_tensor({2, 7, 64}, 1);
  const at::Tensor expected = at::linear(fake_quantise_tokens(x, activations),
                                         linear->weight_quantizer()->forward(linear->weight), linear->bias);
  EXPECT_TRUE(same_bits(linear->forward(x), expected));
  EXPECT_FALSE(same_bits(linear->forward(x), at::linear(x, linear->effective_weight(), linear->bias)));
}

TEST(Linear, TakesABiasOfTheCaller) {
  Linear linear(8, 5, Linear::Bias::no);
  fill(linear);
  EXPECT_FALSE(linear.effective_bias().defined());
  const at::Tensor x = normal_tensor({3, 8}, 1);
  const at::Tensor bias = normal_tensor({5}, 2);
  EXPECT_TRUE(same_bits(linear.forward_with_bias(x, bias), at::linear(x, linear.weight, bias)));
  EXPECT_TRUE(same_bits(linear.forward(x), at::linear(x, linear.weight)));
}

TEST(Embedding, LooksUpRoundedRows) {
  Embedding embedding(10, 6);
  fill(embedding);
  embedding.set_rest_dtype(RestType::float16);
  const at::Tensor indices = at::tensor({3, 3, 9}, at::kLong);
  const at::Tensor rows = embedding.forward(indices);
  EXPECT_TRUE(same_bits(rows, embedding.weight.index_select(0, indices).to(at::kHalf).to(at::kFloat)));
  rows.backward(at::ones_like(rows));
  EXPECT_EQ(embedding.weight.grad()[3].sum().item<float>(), 12.0F);
  EXPECT_EQ(embedding.weight.grad().sum().item<float>(), 18.0F);
}

TEST(Conv2d, IsTorchsConvolutionOfRoundedParameters) {
  Conv2d conv(3, 4, 3, {2, 1});
  fill(conv);
  const at::Tensor x = normal_tensor({2, 3, 8, 8}, 1);
  EXPECT_TRUE(same_bits(conv.forward(x), at::conv2d(x, conv.weight, conv.bias, {2, 2}, {1, 1})));
  conv.set_rest_dtype(RestType::bfloat16);
  const auto rounded = [](const at::Tensor& t) { return t.to(at::kBFloat16).to(at::kFloat); };
  EXPECT_TRUE(
      same_bits(conv.forward(x), at::conv2d(x, rounded(conv.weight), rounded(conv.bias), {2, 2}, {1, 1})));
}

TEST(GroupNorm, NormalisesWithItsEpsilon) {
  GroupNorm norm(2, 4);
  const at::Tensor x = normal_tensor({2, 4, 3, 3}, 1) * 1e-3;  // so that eps 1e-5 would show
  const at::Tensor grouped = x.view({2, 2, -1}).to(at::kDouble);
  const at::Tensor centred = grouped - grouped.mean(2, true);
  const at::Tensor expected = (centred / (grouped.var(2, false, true) + 1e-6).sqrt()).view_as(x);
  EXPECT_TRUE(at::allclose(norm.forward(x).to(at::kDouble), expected, 1e-5, 1e-5));
}

}  // namespace
}  // namespace bitlaw::quant
