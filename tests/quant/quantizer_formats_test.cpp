// Quantizers of every format: forward against the packed form, learned scales, gradients by hand, state.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/affine.h"
#include "quant/levels.h"
#include "quant/quantizer.h"
#include "tests/quant/tensors.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kOut = 12;
constexpr std::int64_t kIn = 96;

const std::vector<std::string>& specs() {
  static const std::vector<std::string> all = {"e2m1.g32.sym.e8m0",
                                               "e2m3.g32.sym.e8m0",
                                               "e3m2.g32.sym.e8m0",
                                               "e4m3.g32.sym.e8m0",
                                               "e5m2.g32.sym.e8m0",
                                               "int8.g32.sym.e8m0",
                                               "e2m1.g16.sym.e4m3",
                                               "int4.g16.sym.e4m3",
                                               "nf4.g16.sym.e4m3",
                                               "e1m1.g48.sym",
                                               "e2m0.g48.asym",
                                               "e2m1.g32.asym",
                                               "e3m0.channel.sym.float32",
                                               "e2m2.tensor.asym",
                                               "e3m1.b2x48.sym",
                                               "e4m3.b4x32.asym.bfloat16",
                                               "nf3.g32.sym",
                                               "nf4.g24.asym",
                                               "nf4.b2x12.sym.float32",
                                               "ternary.g32.sym",
                                               "ternary.tensor.sym.bfloat16",
                                               "int4.g32.asym.float16.zp_float16",
                                               "int2.b2x32.asym",
                                               "int5h.b4x96.sym"};
  return all;
}

at::Tensor named(Quantizer& quantizer, const std::string& name) {
  const auto parameters = quantizer.named_parameters();
  return parameters.contains(name) ? parameters[name] : quantizer.named_buffers()[name];
}

void shake_learned_scales(Quantizer& quantizer) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& parameter : quantizer.parameters()) {
    parameter.add_(normal_tensor(parameter.sizes(), 8), 0.3);
  }
}

TEST(QuantizerFormats, ForwardEqualsDequantisedCodesToTheBit) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 3);
  for (const std::string& text : specs()) {
    for (const Method method : {Method::rtn, Method::ste, Method::lsq}) {
      for (const ScaleSearch search : {ScaleSearch::absmax, ScaleSearch::mse}) {
        Quantizer quantizer(QuantSpec::parse(text), method, kOut, kIn);
        quantizer.initialise(weight, search);
        if (method == Method::lsq) {
          shake_learned_scales(quantizer);
        }
        const PackedTensor packed = quantizer.pack(weight);
        const at::Tensor deployed = at::tensor(dequantise(packed)).view({kOut, kIn});
        EXPECT_TRUE(same_bits(quantizer.forward(weight), deployed)) << text;
        EXPECT_TRUE(same_bits(quantizer.forward(weight, at::kBFloat16), deployed.to(at::kBFloat16))) << text;
        // The dequantised weight as master has the same codes and the same values.
        const PackedTensor again = quantizer.pack(deployed);
        EXPECT_EQ(again, packed) << text;
        EXPECT_TRUE(same_bits(quantizer.forward(deployed), deployed)) << text;
      }
    }
  }
}

TEST(QuantizerFormats, InitialisesWithTheScalesOfTheSearch) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 4);
  const std::vector<float> w(weight.data_ptr<float>(), weight.data_ptr<float>() + weight.numel());
  for (const std::string& text : specs()) {
    const AffineParameters expected = find_parameters(w, kOut, kIn, QuantSpec::parse(text), ScaleSearch::mse);
    for (const Method method : {Method::ste, Method::lsq}) {
      Quantizer quantizer(QuantSpec::parse(text), method, kOut, kIn);
      quantizer.initialise(weight, ScaleSearch::mse);
      const PackedTensor packed = quantizer.pack(weight);
      if (QuantSpec::parse(text).fields().scale_dtype != ScaleType::float32 || method == Method::ste) {
        EXPECT_EQ(packed.scale, expected.scale) << text;
        EXPECT_EQ(packed.scale_negative, expected.scale_negative) << text;
      }
      EXPECT_EQ(packed.zero_point, expected.zero_point) << text;
      EXPECT_EQ(packed.zero_point_real, expected.zero_point_real) << text;
      EXPECT_EQ(packed.global_scale, expected.global_scale) << text;
    }
  }
}

TEST(QuantizerFormats, GradientsOfAFloatByHand) {
  // e2m1, scale 1: 0.2 -> 0, 0.9 -> 1, -2.4 -> -2, 6 (the edge, inside), 6.5 and -9 outside.
  const at::Tensor weight = at::tensor({0.2F, 0.9F, -2.4F, 6.0F, 6.5F, -9.0F}).view({1, 6});
  weight.requires_grad_();
  Quantizer quantizer(QuantSpec::parse("e2m1.channel.sym.float32"), Method::lsq, 1, 6);
  const at::Tensor value = quantizer.forward(weight);
  EXPECT_TRUE(at::equal(value, at::tensor({0.0F, 1.0F, -2.0F, 6.0F, 6.0F, -6.0F}).view({1, 6})));
  value.backward(at::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}).view({1, 6}));
  EXPECT_TRUE(at::equal(weight.grad(), at::tensor({1.0F, 2.0F, 3.0F, 4.0F, 0.0F, 0.0F}).view({1, 6})));
  const double sum = 1 * -0.2 + 2 * 0.1 + 3 * 0.4 + 4 * 0.0 + 5 * 6.0 + 6 * -6.0;
  EXPECT_NEAR(named(quantizer, "log_scale").grad().item<double>(), sum / std::sqrt(6.0 * 6.0), 1e-6);
}

TEST(QuantizerFormats, EachSideHasItsOwnScaleGradient) {
  const at::Tensor weight = at::tensor({0.4F, -0.4F, 1.2F, -3.0F}).view({1, 4});
  weight.requires_grad_();
  Quantizer quantizer(QuantSpec::parse("nf3.channel.asym.float32"), Method::lsq, 1, 4);
  {
    const at::NoGradGuard no_grad;
    named(quantizer, "log_scale_negative").fill_(std::log(2.0F));
  }
  quantizer.forward(weight).sum().backward();
  EXPECT_TRUE(at::equal(weight.grad(), at::tensor({1.0F, 1.0F, 0.0F, 0.0F}).view({1, 4})));
  const std::span<const float> levels = quantile_levels(3);
  const double positive = (static_cast<double>(levels[5]) - 0.4) + 1.0;
  const double negative = (static_cast<double>(levels[2]) + 0.2) - 1.0;
  EXPECT_NEAR(named(quantizer, "log_scale").grad().item<double>(), positive / 2.0, 1e-5);
  EXPECT_NEAR(named(quantizer, "log_scale_negative").grad().item<double>(), 2.0 * negative / 2.0, 1e-5);
}

TEST(QuantizerFormats, ABlockSumsTheGradientsOfItsRows) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 9).requires_grad_();
  const at::Tensor grad = normal_tensor({kOut, kIn}, 10);
  Quantizer block(QuantSpec::parse("e2m1.b4x48.sym.float32"), Method::lsq, kOut, kIn);
  Quantizer group(QuantSpec::parse("e2m1.g48.sym.float32"), Method::lsq, kOut, kIn);
  block.forward(weight).backward(grad);
  group.forward(weight).backward(grad);
  const at::Tensor of_block = named(block, "log_scale").grad();
  const at::Tensor of_group = named(group, "log_scale").grad();
  ASSERT_EQ(of_block.sizes(), at::IntArrayRef({3, 2}));
  const at::Tensor sums = of_group.view({3, 4, 2}).sum(1) / 2.0;  // 1 / sqrt of four times the weights
  EXPECT_TRUE(at::allclose(of_block, sums, 1e-5, 1e-6));
}

TEST(QuantizerFormats, LearnedScalesStayInTheirStorageType) {
  const at::Tensor weight = normal_tensor({kOut, kIn}, 3);
  for (const char* text : {"e2m1.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "e3m0.g32.asym"}) {
    Quantizer quantizer(QuantSpec::parse(text), Method::lsq, kOut, kIn);
    quantizer.initialise(weight, ScaleSearch::absmax);
    shake_learned_scales(quantizer);
    for (const at::Tensor& scale : {quantizer.scale(), quantizer.scale_negative()}) {
      for (std::int64_t i = 0; scale.defined() && i < scale.numel(); ++i) {
        const float value = scale.data_ptr<float>()[i];
        EXPECT_EQ(round_to(value, quantizer.spec().fields().scale_dtype), value) << text;
        EXPECT_GT(value, 0.0F);
      }
    }
  }
}

TEST(QuantizerFormats, NaNIsAnErrorAndNeverACode) {
  for (const std::string& text : specs()) {
    at::Tensor weight = normal_tensor({kOut, kIn}, 3);
    Quantizer quantizer(QuantSpec::parse(text), Method::ste, kOut, kIn);
    quantizer.initialise(weight, ScaleSearch::absmax);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
      weight.view(-1)[77] = bad;
      EXPECT_THROW(quantizer.codes(weight), data::InputError) << text;
      EXPECT_THROW(quantizer.initialise(weight, ScaleSearch::mse), data::InputError) << text;
    }
  }
}

TEST(QuantizerFormats, BlocksMustDivideTheWeight) {
  EXPECT_THROW(Quantizer(QuantSpec::parse("e4m3.b5x48.sym"), Method::rtn, kOut, kIn), data::InputError);
  EXPECT_THROW(Quantizer(QuantSpec::parse("e4m3.b4x50.sym"), Method::rtn, kOut, kIn), data::InputError);
}

TEST(QuantizerFormats, TokensOfFloats) {
  const at::Tensor x = normal_tensor({5, 37}, 2);
  const QuantSpec spec = QuantSpec::parse("e4m3.token.sym");
  const at::Tensor y = fake_quantise_tokens(x, spec);
  const QuantSpec row = QuantSpec::parse("e4m3.channel.sym");
  Quantizer quantizer(row, Method::rtn, 5, 37);
  quantizer.initialise(x, ScaleSearch::absmax);
  at::Tensor infinite = x.clone();
  infinite[2][5] = INFINITY;  // a clamped scale would hide it
  const at::Tensor rows = fake_quantise_tokens(infinite, spec).isnan().any(1);
  EXPECT_TRUE(at::equal(rows, at::arange(5).eq(2)));
  EXPECT_TRUE(same_bits(y, quantizer.forward(x)));
  const at::Tensor half = x.to(at::kBFloat16);
  quantizer.initialise(half.to(at::kFloat), ScaleSearch::absmax);
  EXPECT_TRUE(
      same_bits(fake_quantise_tokens(half, spec), quantizer.forward(half.to(at::kFloat), at::kBFloat16)));
}

}  // namespace
}  // namespace bitlaw::quant
