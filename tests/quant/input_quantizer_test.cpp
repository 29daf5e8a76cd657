// Input quantisers: values against codes, gradients against plain autograd in double, what is observed, what
// is stored.
#include "quant/input_quantizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "quant/affine.h"
#include "quant/float_format.h"
#include "quant/quantizer.h"
#include "tests/quant/input_quantizers.h"
#include "tests/quant/tensors.h"
#include "tests/support/message_of.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::HasSubstr;

constexpr std::int64_t kFeatures = 37;

float reference_value(float x, const InputQuantizer& quantizer) {
  const QuantSpec& spec = quantizer.spec();
  const InputGrid grid = quantizer.grid();
  if (spec.fields().type == NumberType::floating) {
    return round_to_format(x / grid.scale, *spec.fields().format) * grid.scale;
  }
  const auto offset = static_cast<float>(spec.level_offset());
  const float rounded = std::nearbyint(x / grid.scale + (grid.zero_point - offset));
  const float q =
      std::min(std::max(rounded, static_cast<float>(spec.q_min())), static_cast<float>(spec.q_max()));
  return (q + (offset - grid.zero_point)) * grid.scale;
}

// Three quarters of the observed range, so that there is an outside, and parameters that are not round.
void shift(InputQuantizer& quantizer) {
  const at::NoGradGuard no_grad;
  for (const auto& item : quantizer.named_parameters()) {
    if (item.key() == "log_scale") {
      item.value().sub_(0.3F);
    } else {
      item.value().mul_(0.75F);
    }
  }
}

TEST(InputQuantizer, ForwardIsTheDeployedFormToTheBit) {
  const at::Tensor x = normal_tensor({5, 3, kFeatures}, 31) + 0.3;
  for (const Case& item : kCases) {
    InputQuantizer quantizer = observed(item.spec, item.method, x);
    shift(quantizer);
    at::Tensor expected = at::empty_like(x);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      expected.mutable_data_ptr<float>()[i] = reference_value(x.const_data_ptr<float>()[i], quantizer);
    }
    EXPECT_TRUE(same_bits(quantizer.forward(x), expected)) << item.spec;
    InputQuantizer stored(quantizer.pack());
    EXPECT_TRUE(same_bits(stored.forward(x), expected)) << item.spec;
    EXPECT_EQ(stored.pack(), quantizer.pack()) << item.spec;
    const at::Tensor half = x.to(at::kBFloat16);
    const at::Tensor of_half = quantizer.forward(half.to(at::kFloat)).to(at::kBFloat16);
    EXPECT_TRUE(same_bits(quantizer.forward(half), of_half)) << item.spec;
  }
}

// The same by plain autograd in double, rounding straight through, what is clipped written with where().
struct Surrogate {
  at::Tensor x;
  at::Tensor step;    // log_scale or alpha
  at::Tensor offset;  // beta
  at::Tensor output;
};

at::Tensor rounded(const at::Tensor& v) {
  return v + (v.round() - v).detach();
}

// Positions on the grid and their clipped codes; the range of gradients is that of rounded codes.
at::Tensor quantised(const at::Tensor& v, const QuantSpec& spec) {
  const at::Tensor code = v.detach().round();
  const at::Tensor above = code.gt(spec.q_max()), below = code.lt(spec.q_min());
  const at::Tensor ends =
      at::where(above, at::full({}, spec.q_max(), at::kDouble), at::full({}, spec.q_min(), at::kDouble));
  return at::where(above.logical_or(below), ends, rounded(v));
}

Surrogate surrogate(InputQuantizer& quantizer, const at::Tensor& x) {
  const QuantSpec& spec = quantizer.spec();
  const InputGrid grid = quantizer.grid();
  Surrogate result;
  result.x = x.to(at::kDouble).detach().requires_grad_();
  const auto double_of = [&](const char* name) {
    return parameter(quantizer, name).detach().to(at::kDouble).requires_grad_();
  };
  const auto deployed = [](const at::Tensor& y, float stored) { return y + (stored - y).detach(); };
  if (quantizer.plan().method == InputMethod::pact) {
    result.step = double_of("alpha");
    const bool two_sided = spec.fields().symmetric;
    const double top = two_sided ? spec.q_max() : spec.q_max() - spec.q_min();
    const at::Tensor alpha = deployed(result.step, static_cast<float>(top) * grid.scale);
    const at::Tensor lowest = alpha * (two_sided ? spec.q_min() / top : 0.0);
    const at::Tensor clipped =
        at::where(result.x.ge(alpha), alpha, at::where(result.x.le(lowest), lowest, result.x));
    const double scale = grid.scale;
    result.output = clipped + ((clipped / scale).round() * scale - clipped).detach();
    return result;
  }
  result.step = double_of("log_scale");
  const at::Tensor scale = deployed(result.step.exp(), grid.scale);
  if (quantizer.plan().method == InputMethod::lsq_plus) {
    result.offset = double_of("offset");
    const at::Tensor beta = deployed(result.offset, -grid.zero_point * grid.scale);
    result.output = quantised((result.x - beta) / scale, spec) * scale + beta;
    return result;
  }
  result.output = (quantised(result.x / scale + grid.zero_point, spec) - grid.zero_point) * scale;
  return result;
}

void expect_near(const at::Tensor& found, const at::Tensor& expected, double factor,
                 const std::string& name) {
  const double wanted = expected.item<double>() * factor;
  EXPECT_NEAR(found.item<double>(), wanted, 2e-5 * std::abs(wanted) + 1e-6) << name;
}

TEST(InputQuantizer, GradientsAreThoseOfThePapers) {
  const at::Tensor values = normal_tensor({11, kFeatures}, 32) + 0.3;
  const at::Tensor grad = normal_tensor({11, kFeatures}, 33);
  for (const Case& item : kCases) {
    if (item.method == InputMethod::fixed || item.spec[0] == 'e') {
      continue;
    }
    InputQuantizer quantizer = observed(item.spec, item.method, values);
    shift(quantizer);
    const at::Tensor x = values.clone().requires_grad_();
    quantizer.forward(x).backward(grad);
    Surrogate expected = surrogate(quantizer, values);
    expected.output.backward(grad.to(at::kDouble));
    EXPECT_TRUE(at::equal(x.grad().to(at::kDouble), expected.x.grad())) << item.spec;
    EXPECT_GT(x.grad().eq(0.0).sum().item<std::int64_t>(), 0) << item.spec << ": nothing is outside";
    const double g = 1.0 / std::sqrt(static_cast<double>(kFeatures) * quantizer.spec().q_max());
    const bool pact = item.method == InputMethod::pact;
    expect_near(parameter(quantizer, pact ? "alpha" : "log_scale").grad(), expected.step.grad(),
                pact ? 1.0 : g, item.spec);
    if (item.method == InputMethod::lsq_plus) {
      expect_near(parameter(quantizer, "offset").grad(), expected.offset.grad(), g, item.spec);
    }
  }
}

TEST(InputQuantizer, GradientsByHand) {
  // Levels -2 ... 1 times 1: inside -2.5 ... 1.5 (half to even).
  const at::Tensor x = at::tensor({0.3F, 1.0F, 1.5F, 3.0F, -2.0F, -9.0F}).view({1, 6}).requires_grad_();
  InputQuantizer quantizer(plan_of("int2.tensor.sym.float32", InputMethod::lsq));
  set(quantizer, "log_scale", 0.0F);
  const at::Tensor y = quantizer.forward(x);
  EXPECT_TRUE(at::equal(y, at::tensor({0.0F, 1.0F, 1.0F, 1.0F, -2.0F, -2.0F}).view({1, 6})));
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({1.0F, 1.0F, 0.0F, 0.0F, 1.0F, 0.0F}).view({1, 6})));
  // -0.3 + 0 + 1 + 1 + 0 - 2, times 1 / sqrt(6 features * 1)
  EXPECT_NEAR(scalar(parameter(quantizer, "log_scale").grad()), -0.3 / std::sqrt(6.0), 1e-6);

  InputQuantizer pact(plan_of("int2.tensor.sym.float32", InputMethod::pact));
  set(pact, "alpha", 1.0F);
  x.mutable_grad().reset();
  pact.forward(x).sum().backward();  // clipped at 1 and -2, both inclusive
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({1.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F}).view({1, 6})));
  EXPECT_EQ(scalar(parameter(pact, "alpha").grad()), 3.0F - 2.0F * 2.0F);

  InputQuantizer positive(plan_of("int2.tensor.asym.float32", InputMethod::pact));
  set(positive, "alpha", 3.0F);  // levels 0 1 2 3
  x.mutable_grad().reset();
  EXPECT_TRUE(at::equal(positive.forward(at::tensor({-1.0F, 0.0F, 1.4F, 3.0F, 7.0F}).view({1, 5})),
                        at::tensor({0.0F, 0.0F, 1.0F, 3.0F, 3.0F}).view({1, 5})));
  positive.forward(x).sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({1.0F, 1.0F, 1.0F, 0.0F, 0.0F, 0.0F}).view({1, 6})));
  EXPECT_EQ(scalar(parameter(positive, "alpha").grad()), 1.0F);
}

// Beyond the codes the zero point does not follow beta: it must not be taken further out, and may come back.
TEST(InputQuantizer, AnOffsetBeyondTheCodesOnlyComesBack) {
  const at::Tensor x = at::tensor({-3.0F, 20.0F, 2.2F}).view({1, 3});
  struct Expected {
    float offset;                            // zero point -offset, clamped to -8 ... 7
    float upstream;                          // gradient of every output
    double offset_gradient, scale_gradient;  // without g
  };
  // At -8 levels are 0 ... 15: outside lie -3 and 20, and d x' / d scale = 0 + 15 + (2 - 2.2). At 7 they are
  // -15 ... 0: outside lie 20 and 2.2, and d x' / d scale = 0 + 0 + (-3 + 3). At -2: -6 ... 9, outside lies
  // 20, q = 7 there.
  for (const Expected& expected : {Expected{100.0F, 1.0F, 2.0, 14.8}, Expected{100.0F, -1.0F, 0.0, -14.8},
                                   Expected{-100.0F, 1.0F, 0.0, 0.0}, Expected{-100.0F, -1.0F, -2.0, 0.0},
                                   Expected{8.3F, -1.0F, -2.0, 1.2}, Expected{2.0F, -1.0F, -1.0, -6.8}}) {
    InputQuantizer quantizer(plan_of("int4.tensor.asym.float32", InputMethod::lsq_plus));
    set(quantizer, "log_scale", 0.0F);
    set(quantizer, "offset", expected.offset);
    quantizer.forward(x).sum().mul(expected.upstream).backward();
    const double g = 1.0 / std::sqrt(3.0 * 7.0);
    EXPECT_NEAR(scalar(parameter(quantizer, "offset").grad()), expected.offset_gradient * g, 1e-6)
        << expected.offset << " " << expected.upstream;
    EXPECT_NEAR(scalar(parameter(quantizer, "log_scale").grad()), expected.scale_gradient * g, 1e-5)
        << expected.offset << " " << expected.upstream;
  }
}

TEST(InputQuantizer, FloatScalesAreLearnedToo) {
  const at::Tensor values = normal_tensor({7, kFeatures}, 34);
  InputQuantizer quantizer = observed("e2m1.tensor.sym.float32", InputMethod::lsq, values);
  shift(quantizer);
  quantizer.forward(values).sum().backward();
  const float scale = quantizer.grid().scale;
  double sum = 0.0;
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const float x = values.const_data_ptr<float>()[i];
    const float level = round_to_format(x / scale, FloatFormat::e2m1);
    sum += static_cast<double>(std::abs(x) <= 6.0F * scale ? level - x / scale : level);
  }
  const double g = 1.0 / std::sqrt(static_cast<double>(kFeatures) * 6.0);
  EXPECT_NEAR(scalar(parameter(quantizer, "log_scale").grad()), sum * g * static_cast<double>(scale),
              1e-4 * std::abs(sum));
}

TEST(InputQuantizer, BFloat16GradientsAreThoseOfTheRoundedInput) {
  const at::Tensor half = normal_tensor({9, kFeatures}, 35).to(at::kBFloat16);
  const at::Tensor grad = normal_tensor({9, kFeatures}, 36).to(at::kBFloat16);
  for (const InputMethod method : {InputMethod::lsq, InputMethod::pact}) {
    InputQuantizer quantizer = observed("int4.tensor.sym", method, half);
    shift(quantizer);
    const char* name = method == InputMethod::pact ? "alpha" : "log_scale";
    const at::Tensor x = half.clone().requires_grad_();
    quantizer.forward(x).backward(grad);
    const at::Tensor found = parameter(quantizer, name).grad().clone();
    parameter(quantizer, name).mutable_grad().reset();
    const at::Tensor wide = half.to(at::kFloat).requires_grad_();
    quantizer.forward(wide).backward(grad.to(at::kFloat));
    EXPECT_TRUE(same_bits(x.grad(), wide.grad().to(at::kBFloat16)));
    EXPECT_TRUE(same_bits(found, parameter(quantizer, name).grad()));
  }
}

}  // namespace
}  // namespace bitlaw::quant
