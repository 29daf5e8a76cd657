// Quantizer: values against codes, gradients against closed forms, central differences and plain autograd.
#include "quant/quantizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kOut = 6;
constexpr std::int64_t kIn = 60;

Quantizer quantizer_for(const std::string& spec, Method method, const at::Tensor& weight,
                        ScaleSearch search = ScaleSearch::absmax) {
  Quantizer quantizer(QuantSpec::parse(spec), method, weight.size(0), weight.size(1));
  quantizer.initialise(weight, search);
  return quantizer;
}

at::Tensor log_scale_of(Quantizer& quantizer) {
  return quantizer.named_parameters()["log_scale"];
}

// [rows, groups] spread over the elements that share an entry.
at::Tensor per_element(const at::Tensor& x, const QuantSpec& spec) {
  return x.repeat_interleave(spec.group_width(kIn), 1).expand({kOut, kIn});
}

TEST(Quantizer, ForwardEqualsDequantisedCodesToTheBit) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 3);
  for (const QuantSpec& spec : weight_specs()) {
    for (const Method method : {Method::rtn, Method::ste, Method::lsq}) {
      Quantizer quantizer(spec, method, kOut, kIn);
      quantizer.initialise(weight, ScaleSearch::absmax);
      if (method == Method::lsq) {  // learned scales lie anywhere
        const at::NoGradGuard no_grad;
        log_scale_of(quantizer).add_(normal_tensor(log_scale_of(quantizer).sizes(), 8), 0.3);
      }
      const PackedTensor packed = quantizer.pack(weight);
      const std::vector<float> values = dequantise(packed);
      const at::Tensor deployed = at::tensor(values).view({kOut, kIn});
      const std::string name = spec.to_string() + " method " + std::to_string(static_cast<int>(method));
      EXPECT_TRUE(same_bits(quantizer.forward(weight), deployed)) << name;
      EXPECT_TRUE(same_bits(quantizer.forward(weight, at::kBFloat16), deployed.to(at::kBFloat16))) << name;
      const std::vector<std::uint8_t> codes = unpack(packed);
      EXPECT_TRUE(same_bits(quantizer.codes(weight), at::tensor(codes, at::kByte).view({kOut, kIn}))) << name;
    }
  }
}

TEST(Quantizer, InitialisesWithTheScalesOfTheSearch) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 4);
  const std::vector<float> w(weight.data_ptr<float>(), weight.data_ptr<float>() + weight.numel());
  for (const std::string spec : {"int4.g20.sym", "int3.channel.asym.bfloat16", "int8.tensor.sym"}) {
    for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
      const AffineParameters expected = find_parameters(w, kOut, kIn, QuantSpec::parse(spec), search);
      for (const Method method : {Method::ste, Method::lsq}) {
        const Quantizer quantizer = quantizer_for(spec, method, weight, search);
        const at::Tensor scale = quantizer.scale();
        EXPECT_TRUE(same_bits(scale, at::tensor(expected.scale).view(scale.sizes()))) << spec;
        if (!expected.zero_point.empty()) {
          EXPECT_TRUE(same_bits(
              quantizer.zero_point(),
              at::tensor(at::ArrayRef<std::int8_t>(expected.zero_point), at::kChar).view(scale.sizes())))
              << spec;
        }
      }
    }
  }
}

TEST(Quantizer, GradientsByHand) {
  // Codes -4 .. 3, scale 1. Positions 0.25, 1, -5 (outside), 3.5 (rounds to 4: outside), 3.25, -4.5 (rounds
  // to -4: inside).
  const at::Tensor weight = at::tensor({0.25F, 1.0F, -5.0F, 3.5F, 3.25F, -4.5F}).view({1, 6});
  weight.requires_grad_();
  Quantizer quantizer(QuantSpec::parse("int3.channel.sym.float32"), Method::lsq, 1, 6);
  quantizer.forward(weight).backward(at::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}).view({1, 6}));
  EXPECT_TRUE(at::equal(weight.grad(), at::tensor({1.0F, 2.0F, 0.0F, 0.0F, 5.0F, 6.0F}).view({1, 6})));
  const double sum = 1 * -0.25 + 2 * 0.0 + 3 * -4.0 + 4 * 3.0 + 5 * -0.25 + 6 * 0.5;
  const double factor = 1.0 / std::sqrt(6.0 * 3.0);
  EXPECT_NEAR(log_scale_of(quantizer).grad().item<double>(), sum * factor, 1e-6);
}

TEST(Quantizer, StraightThroughKeepsScalesFixed) {
  const at::Tensor weight = at::tensor({0.25F, -5.0F, 3.25F}).view({1, 3});
  weight.requires_grad_();
  Quantizer quantizer(QuantSpec::parse("int3.channel.sym.float32"), Method::ste, 1, 3);
  EXPECT_TRUE(quantizer.parameters().empty());
  quantizer.forward(weight).backward(at::tensor({1.0F, 2.0F, 3.0F}).view({1, 3}));
  EXPECT_TRUE(at::equal(weight.grad(), at::tensor({1.0F, 0.0F, 3.0F}).view({1, 3})));
}

TEST(Quantizer, RoundToNearestHasNoGradient) {
  const at::Tensor weight = normal_tensor({2, 8}, 1).requires_grad_();
  Quantizer quantizer = quantizer_for("int4.channel.sym", Method::rtn, weight);
  EXPECT_FALSE(quantizer.forward(weight).requires_grad());
}

// The same function of plain tensor operations; rounding and clamping straight through.
at::Tensor composed(const at::Tensor& weight, const at::Tensor& log_scale, const Quantizer& quantizer) {
  const QuantSpec& spec = quantizer.spec();
  const at::Tensor exponential = log_scale.exp();
  const at::Tensor scale =
      per_element(exponential + (quantizer.scale() - exponential).detach(), spec).to(at::kFloat);
  at::Tensor zero_point = at::zeros({kOut, kIn});
  if (quantizer.zero_point().defined()) {
    zero_point = per_element(quantizer.zero_point().to(at::kFloat), spec);
  }
  const at::Tensor shift = zero_point - spec.level_offset();
  const at::Tensor exact = weight / scale + shift;
  const at::Tensor rounded = exact + (at::round(exact) - exact).detach();
  const at::Tensor inside = (at::round(exact) >= spec.q_min()).logical_and(at::round(exact) <= spec.q_max());
  const at::Tensor q = at::where(inside, rounded, rounded.detach().clamp(spec.q_min(), spec.q_max()));
  return (q - shift) * scale;
}

double lsq_factor(const QuantSpec& spec) {
  const std::int64_t rows = spec.fields().strategy == Strategy::tensor ? kOut : 1;
  return 1.0 / std::sqrt(static_cast<double>(rows * spec.group_width(kIn) * spec.q_max()));
}

TEST(Quantizer, GradientsEqualThoseOfPlainOperations) {
  for (const QuantSpec& spec : weight_specs()) {
    const at::Tensor weight = normal_tensor({kOut, kIn}, 6).requires_grad_();
    const at::Tensor reference_weight = weight.detach().clone().requires_grad_();
    Quantizer quantizer(spec, Method::lsq, kOut, kIn);
    quantizer.initialise(weight, ScaleSearch::absmax);
    {
      const at::NoGradGuard no_grad;
      log_scale_of(quantizer).sub_(0.4);  // so that some weights lie outside
    }
    const at::Tensor reference_log_scale = log_scale_of(quantizer).detach().clone().requires_grad_();
    const at::Tensor grad = normal_tensor({kOut, kIn}, 7);
    const at::Tensor expected = composed(reference_weight, reference_log_scale, quantizer);
    expected.backward(grad);
    quantizer.forward(weight).backward(grad);
    EXPECT_TRUE(at::allclose(quantizer.forward(weight), expected, 1e-6, 1e-7)) << spec.to_string();
    EXPECT_TRUE(at::allclose(weight.grad(), reference_weight.grad(), 1e-5, 1e-6)) << spec.to_string();
    EXPECT_LT((weight.grad() == 0).sum().item<int>(), kOut * kIn) << spec.to_string();
    EXPECT_TRUE(at::allclose(log_scale_of(quantizer).grad(), reference_log_scale.grad() * lsq_factor(spec),
                             2e-4, 2e-5))
        << spec.to_string() << log_scale_of(quantizer).grad()
        << reference_log_scale.grad() * lsq_factor(spec);
  }
}

// With the rounding residual of each weight held fixed, the surrogate is a smooth function of log scale.
TEST(Quantizer, ScaleGradientEqualsCentralDifferences) {
  const QuantSpec spec = QuantSpec::parse("int3h.g20.sym.float32");
  const at::Tensor weight = normal_tensor({kOut, kIn}, 9);
  Quantizer quantizer(spec, Method::lsq, kOut, kIn);
  quantizer.initialise(weight, ScaleSearch::mse);
  const at::Tensor grad = normal_tensor({kOut, kIn}, 10);
  quantizer.forward(weight).backward(grad);
  const at::Tensor w = weight.to(at::kDouble);
  const at::Tensor exact = w / per_element(quantizer.scale().to(at::kDouble), spec) - 0.5;
  const at::Tensor residual = at::round(exact) - exact;
  const at::Tensor clamped = at::round(exact).clamp(-4, 3);
  const at::Tensor inside = clamped == at::round(exact);
  const auto loss = [&](double shift) {  // per group: [out, groups]
    const at::Tensor scale =
        per_element((log_scale_of(quantizer).detach().to(at::kDouble) + shift).exp(), spec);
    const at::Tensor value = at::where(inside, w + residual * scale, (clamped + 0.5) * scale);
    return (value * grad).view({kOut, kIn / 20, 20}).sum(2);
  };
  const double step = 1e-4;
  const at::Tensor expected = (loss(step) - loss(-step)) / (2 * step) * lsq_factor(spec);
  EXPECT_TRUE(at::allclose(log_scale_of(quantizer).grad().to(at::kDouble), expected, 1e-4, 1e-5));
}

TEST(Quantizer, TakesABfloat16GradientForABfloat16Value) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 6).requires_grad_();
  Quantizer quantizer = quantizer_for("int2h.g20.sym", Method::lsq, weight);
  const at::Tensor grad = normal_tensor({kOut, kIn}, 7).to(at::kBFloat16);
  quantizer.forward(weight, at::kBFloat16).backward(grad);
  const at::Tensor weight_grad = weight.grad().clone();
  const at::Tensor scale_grad = log_scale_of(quantizer).grad().clone();
  weight.mutable_grad().zero_();
  log_scale_of(quantizer).mutable_grad().zero_();
  quantizer.forward(weight).backward(grad.to(at::kFloat));
  EXPECT_TRUE(same_bits(weight_grad, weight.grad()));
  EXPECT_TRUE(same_bits(scale_grad, log_scale_of(quantizer).grad()));
}

TEST(Quantizer, StateHasThePublishedNames) {
  Quantizer lsq(QuantSpec::parse("int4.g20.asym"), Method::lsq, kOut, kIn);
  EXPECT_THAT(lsq.named_parameters().keys(), testing::ElementsAre("log_scale"));
  EXPECT_THAT(lsq.named_buffers().keys(), testing::ElementsAre("zero_point"));
  Quantizer ste(QuantSpec::parse("int4.tensor.sym"), Method::ste, kOut, kIn);
  EXPECT_THAT(ste.named_buffers().keys(), testing::ElementsAre("scale"));
  EXPECT_EQ(ste.scale().sizes(), (std::vector<std::int64_t>{1, 1}));
}

TEST(Quantizer, RefusesWhatCannotBeQuantised) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 1);
  Quantizer quantizer = quantizer_for("int4.channel.sym", Method::lsq, weight);
  weight[2][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(quantizer.codes(weight), data::InputError);
  EXPECT_THROW(quantizer.initialise(weight, ScaleSearch::absmax), data::InputError);
  weight[2][3] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(quantizer.pack(weight), data::InputError);
  EXPECT_THROW(Quantizer(QuantSpec::parse("int8.token.sym"), Method::lsq, kOut, kIn), data::InputError);
  EXPECT_THROW(Quantizer(QuantSpec::parse("int4.g32.sym"), Method::lsq, kOut, kIn), data::InputError);
}

TEST(TokenQuantisation, EqualsQuantisingEachRowByItsOwnScale) {
  const at::Tensor x = normal_tensor({2, 3, 37}, 12);
  x[1][2].zero_();
  for (const std::string spec :
       {"int8.token.sym", "int4.token.sym.float32", "int8.token.asym", "int3h.token.sym"}) {
    QuantSpecFields fields = QuantSpec::parse(spec).fields();
    fields.strategy = Strategy::channel;
    Quantizer rows(QuantSpec(fields), Method::rtn, 6, 37);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor input = x.to(type);
      const at::Tensor flat = input.to(at::kFloat).view({6, 37});
      rows.initialise(flat, ScaleSearch::absmax);
      EXPECT_TRUE(same_bits(fake_quantise_tokens(input, QuantSpec::parse(spec)),
                            rows.forward(flat, type).view({2, 3, 37})))
          << spec;
    }
  }
}

TEST(TokenQuantisation, ARowWithAnInfinityIsNaNAndTheOthersAreNot) {
  for (const std::string spec : {"int8.token.sym", "int8.token.asym"}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      for (const std::int64_t column : {2, 36}) {  // in the vector part and in the rest
        at::Tensor x = normal_tensor({3, 37}, 15);
        x[1][column] = std::numeric_limits<float>::infinity();
        x[2][column] = -std::numeric_limits<float>::infinity();
        const at::Tensor seen = fake_quantise_tokens(x.to(type), QuantSpec::parse(spec));
        EXPECT_TRUE(at::isfinite(seen[0]).all().item<bool>()) << spec;
        EXPECT_TRUE(at::isnan(seen.narrow(0, 1, 2)).all().item<bool>()) << spec;
      }
    }
  }
}

TEST(TokenQuantisation, PassesTheGradient) {
  const at::Tensor x = normal_tensor({4, 9}, 13).requires_grad_();
  const at::Tensor grad = normal_tensor({4, 9}, 14);
  fake_quantise_tokens(x, QuantSpec::parse("int8.token.sym")).backward(grad);
  EXPECT_TRUE(same_bits(x.grad(), grad));
}

}  // namespace
}  // namespace bitlaw::quant
