// Learned zero points: EfficientQAT's gradients by hand and against plain autograd, and the deployed form.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quant/quantizer.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kOut = 6;
constexpr std::int64_t kIn = 40;

const LayerPlan kLearned = {.zero_points = ZeroPointTraining::learned};

at::Tensor parameter(Quantizer& quantizer, const std::string& name) {
  return quantizer.named_parameters()[name];
}

TEST(LearnedZeroPoint, GradientsByHand) {
  // Codes -2 .. 1, scale 0.5, zero point 0.6 -> 1: positions w / s + 1 = -1.5 (-2: the edge counts as
  // inside), 1, 3 (outside), -4 (outside), 1.4 (1: the edge).
  Quantizer quantizer(QuantSpec::parse("int2.channel.asym.float32"), Method::lsq, 1, 5, kLearned);
  {
    const at::NoGradGuard no_grad;
    parameter(quantizer, "log_scale").fill_(std::log(0.5));
    parameter(quantizer, "learned_zero_point").fill_(0.6);
  }
  const at::Tensor weight = at::tensor({-1.25F, 0.0F, 1.0F, -2.5F, 0.2F}).view({1, 5}).requires_grad_();
  const at::Tensor value = quantizer.forward(weight);
  EXPECT_TRUE(at::equal(value, at::tensor({-1.5F, 0.0F, 0.0F, -1.5F, 0.0F}).view({1, 5})));
  value.backward(at::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F}).view({1, 5}));
  EXPECT_TRUE(at::equal(weight.grad(), at::tensor({1.0F, 2.0F, 0.0F, 0.0F, 5.0F}).view({1, 5})));
  const double factor = 1.0 / std::sqrt(5.0 * 1.0);
  EXPECT_NEAR(parameter(quantizer, "learned_zero_point").grad().item<double>(), -0.5 * (3 + 4) * factor,
              1e-6);
  // q - z - w / s inside, q - z outside; times d s / d log s = 0.5
  const double slopes = 1 * (-3 + 2.5) + 2 * 0.0 + 3 * 0.0 + 4 * -3.0 + 5 * -0.4;
  EXPECT_NEAR(parameter(quantizer, "log_scale").grad().item<double>(), 0.5 * slopes * factor, 1e-6);
}

// Rounding and the clamps of scale and zero point straight through, the clamp of codes an ordinary one with
// its edges inside.
at::Tensor composed(const at::Tensor& weight, const at::Tensor& log_scale, const at::Tensor& zero_point,
                    const Quantizer& quantizer) {
  const QuantSpec& spec = quantizer.spec();
  const auto spread = [&](const at::Tensor& x) {
    return x.repeat_interleave(spec.group_width(kIn), 1).expand({kOut, kIn});
  };
  const auto straight = [](const at::Tensor& x, const at::Tensor& value) { return x + (value - x).detach(); };
  const at::Tensor s = spread(straight(log_scale.exp(), quantizer.scale()));
  const at::Tensor z = spread(straight(zero_point, quantizer.zero_point().to(at::kFloat)));
  const at::Tensor exact = weight / s + z;
  const at::Tensor code = at::round(exact).detach();
  const at::Tensor inside = code.ge(spec.q_min()).logical_and(code.le(spec.q_max()));
  const at::Tensor q = at::where(inside, straight(exact, code), code.clamp(spec.q_min(), spec.q_max()));
  return (q - z) * s;
}

TEST(LearnedZeroPoint, GradientsEqualThoseOfPlainOperations) {
  for (const std::string text : {"int2.g20.asym", "int4.channel.asym.float32", "int3.tensor.asym.bfloat16",
                                 "int4.g20.asym.float16.zp_float16"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    Quantizer quantizer(spec, Method::lsq, kOut, kIn, kLearned);
    const at::Tensor weight = normal_tensor({kOut, kIn}, 6).requires_grad_();
    quantizer.initialise(weight, ScaleSearch::absmax);
    const at::Tensor log_scale = parameter(quantizer, "log_scale");
    const at::Tensor zero_point = parameter(quantizer, "learned_zero_point");
    {
      const at::NoGradGuard no_grad;
      log_scale.sub_(0.5);  // so that some weights lie outside
      zero_point.add_(0.3);
    }
    const at::Tensor w = weight.detach().clone().requires_grad_();
    const at::Tensor l = log_scale.detach().clone().requires_grad_();
    const at::Tensor z = zero_point.detach().clone().requires_grad_();
    const at::Tensor grad = normal_tensor({kOut, kIn}, 7);
    composed(w, l, z, quantizer).backward(grad);
    quantizer.forward(weight).backward(grad);
    const std::int64_t sharing = weight.numel() / log_scale.numel();
    const double factor = 1.0 / std::sqrt(static_cast<double>(sharing * spec.q_max()));
    EXPECT_TRUE(at::allclose(weight.grad(), w.grad(), 1e-5, 1e-6)) << text;
    EXPECT_TRUE(at::allclose(log_scale.grad(), l.grad() * factor, 2e-4, 2e-5)) << text;
    EXPECT_TRUE(at::allclose(zero_point.grad(), z.grad() * factor, 1e-4, 1e-5)) << text;
    EXPECT_GT(zero_point.grad().abs().max().item<double>(), 0.0) << text;
  }
}

TEST(LearnedZeroPoint, ForwardEqualsDequantisedCodesToTheBit) {
  for (const std::string text : {"int2.g20.asym", "int8.channel.asym", "int4.g20.asym.float16.zp_float16"}) {
    Quantizer quantizer(QuantSpec::parse(text), Method::lsq, kOut, kIn, kLearned);
    const at::Tensor weight = normal_tensor({kOut, kIn}, 3);
    quantizer.initialise(weight, ScaleSearch::mse);
    const at::NoGradGuard no_grad;
    const at::Tensor zero_point = parameter(quantizer, "learned_zero_point");
    zero_point.add_(normal_tensor(zero_point.sizes(), 4), 40.0);  // far outside the codes as well
    const PackedTensor packed = quantizer.pack(weight);
    check_packed(packed);
    EXPECT_TRUE(same_bits(quantizer.forward(weight), at::tensor(dequantise(packed)).view({kOut, kIn})))
        << text;
  }
}

TEST(LearnedZeroPoint, StateHasAParameterInPlaceOfTheBuffer) {
  Quantizer quantizer(QuantSpec::parse("int4.g20.asym"), Method::lsq, kOut, kIn, kLearned);
  EXPECT_THAT(quantizer.named_parameters().keys(), testing::ElementsAre("log_scale", "learned_zero_point"));
  EXPECT_TRUE(quantizer.named_buffers().keys().empty());
}

TEST(LearnedZeroPoint, ABfloat16GradientGivesTheSame) {
  Quantizer quantizer(QuantSpec::parse("int2.g20.asym"), Method::lsq, kOut, kIn, kLearned);
  const at::Tensor weight = normal_tensor({kOut, kIn}, 3).requires_grad_();
  quantizer.initialise(weight, ScaleSearch::mse);
  const at::Tensor grad = normal_tensor({kOut, kIn}, 5).to(at::kBFloat16);
  quantizer.forward(weight, at::kBFloat16).backward(grad);
  const at::Tensor zero_point = parameter(quantizer, "learned_zero_point");
  const at::Tensor first = zero_point.grad().clone();
  zero_point.mutable_grad().zero_();
  quantizer.forward(weight).backward(grad.to(at::kFloat));
  EXPECT_TRUE(at::equal(first, zero_point.grad()));
}

}  // namespace
}  // namespace bitlaw::quant
