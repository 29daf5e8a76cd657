// Kernels of fake quantisation against the formulas of quant/affine.h and fake_quant_math.h, to the bit, for
// every instruction set of this machine.
#include "quant/kernels/fake_quant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "quant/affine.h"
#include "quant/kernels/bfloat16.h"
#include "quant/kernels/fake_quant_math.h"
#include "tests/quant/support.h"
#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

struct Case {
  QuantSpec spec;
  std::int64_t out = 0;
  std::int64_t in = 0;
};

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const QuantSpec& spec : weight_specs()) {
    const bool grouped = spec.fields().strategy == Strategy::group;
    result.push_back({spec, 3, grouped ? 3 * spec.fields().group_size : 37});
  }
  return result;
}

struct Inputs {
  std::vector<float> w;
  AffineParameters parameters;
  FakeQuantPlan plan;
};

// Weights of which some lie outside the range and some exactly between two levels.
Inputs inputs_of(const Case& test) {
  Inputs inputs;
  inputs.w = normal_values(test.out * test.in, 11);
  inputs.parameters = find_parameters(inputs.w, test.out, test.in, test.spec, ScaleSearch::absmax);
  for (float& scale : inputs.parameters.scale) {
    scale = round_to(scale * 0.6F, test.spec.fields().scale_dtype);
  }
  for (std::size_t i = 0; i < inputs.w.size(); i += 5) {
    inputs.w[i] = inputs.parameters.scale[0] * (static_cast<float>(i % 9) - 4.5F);
  }
  inputs.plan = fake_quant_plan(test.spec, test.in);
  inputs.plan.scale = inputs.parameters.scale.data();
  inputs.plan.zero_point = test.spec.fields().symmetric ? nullptr : inputs.parameters.zero_point.data();
  return inputs;
}

std::size_t scale_index(const Case& test, std::int64_t i) {
  if (test.spec.fields().strategy == Strategy::tensor) {
    return 0;
  }
  const std::int64_t row = i / test.in;
  return static_cast<std::size_t>(row * test.spec.groups(test.in) +
                                  i % test.in / test.spec.group_width(test.in));
}

int zero_point_at(const Case& test, const Inputs& inputs, std::int64_t i) {
  return test.spec.fields().symmetric ? 0 : inputs.parameters.zero_point[scale_index(test, i)];
}

TEST(FakeQuant, ForwardAndCodesEqualTheReferenceToTheBit) {
  for (const Case& test : cases()) {
    const Inputs inputs = inputs_of(test);
    const std::size_t count = inputs.w.size();
    for_each_target([&] {
      std::vector<float> values(count);
      std::vector<std::uint16_t> halves(count);
      std::vector<std::uint8_t> codes(count);
      fake_quantise(inputs.plan, inputs.w.data(), values.data(), {0, test.out});
      fake_quantise(inputs.plan, inputs.w.data(), halves.data(), {0, test.out});
      ASSERT_TRUE(make_codes(inputs.plan, inputs.w.data(), codes.data(), {0, test.out}));
      for (std::size_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::int64_t>(i);
        const float scale = inputs.parameters.scale[scale_index(test, at)];
        const int zero_point = zero_point_at(test, inputs, at);
        const int q = code_value(inputs.w[i], scale, zero_point, test.spec);
        const float value = level(q, scale, zero_point, test.spec);
        ASSERT_EQ(bits(values[i]), bits(value)) << test.spec.to_string() << " element " << i;
        ASSERT_EQ(halves[i], from_float<std::uint16_t>(value)) << test.spec.to_string() << " element " << i;
        ASSERT_EQ(codes[i], q - test.spec.q_min()) << test.spec.to_string() << " element " << i;
      }
    });
  }
}

// The formulas of fake_quant_math.h in the order that it fixes.
struct Expected {
  std::vector<float> grad_w;
  std::vector<float> grad_scale;
};

Expected expected_gradients(const Case& test, const Inputs& inputs, const std::vector<float>& grad_output) {
  Expected expected{std::vector<float>(inputs.w.size()), {}};
  const std::int64_t width = test.spec.group_width(test.in);
  for (std::int64_t first = 0; first < test.out * test.in; first += width) {
    const auto zero_point = static_cast<float>(zero_point_at(test, inputs, first));
    const auto offset = static_cast<float>(test.spec.level_offset());
    const GroupConstants group{inputs.parameters.scale[scale_index(test, first)], zero_point - offset,
                               offset - zero_point, static_cast<float>(test.spec.q_min()),
                               static_cast<float>(test.spec.q_max())};
    float partial[16] = {};
    for (std::int64_t i = 0; i < width; ++i) {
      const auto at = static_cast<std::size_t>(first + i);
      const Position position = locate(inputs.w[at], group);
      expected.grad_w[at] = is_inside(position) ? grad_output[at] : 0.0F;
      partial[i % 16] += grad_output[at] * scale_slope(position, group);
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) {
        partial[i] += partial[i + half];
      }
    }
    expected.grad_scale.push_back(partial[0]);
  }
  return expected;
}

TEST(FakeQuant, BackwardGivesTheSameBitsOnEveryInstructionSet) {
  for (const Case& test : cases()) {
    const Inputs inputs = inputs_of(test);
    const std::size_t count = inputs.w.size();
    std::vector<std::uint16_t> grad_halves;
    std::vector<float> grad_output = normal_values(test.out * test.in, 5);
    for (float& grad : grad_output) {  // exact in bfloat16, so that both kernels see the same gradient
      grad_halves.push_back(from_float<std::uint16_t>(grad));
      grad = to_float(grad_halves.back());
    }
    const Expected expected = expected_gradients(test, inputs, grad_output);
    for_each_target([&] {
      std::vector<float> grad_w(count);
      std::vector<float> grad_scale(expected.grad_scale.size());
      fake_quant_backward(
          inputs.plan,
          FakeQuantGradients<float>{inputs.w.data(), grad_output.data(), grad_w.data(), grad_scale.data()},
          {0, test.out});
      EXPECT_EQ(bits(grad_w), bits(expected.grad_w)) << test.spec.to_string();
      EXPECT_EQ(bits(grad_scale), bits(expected.grad_scale)) << test.spec.to_string();
      std::vector<float> grad_w_again(count);
      fake_quant_backward(inputs.plan,
                          FakeQuantGradients<std::uint16_t>{inputs.w.data(), grad_halves.data(),
                                                            grad_w_again.data(), grad_scale.data()},
                          {0, test.out});
      EXPECT_EQ(bits(grad_w_again), bits(expected.grad_w)) << test.spec.to_string();
      EXPECT_EQ(bits(grad_scale), bits(expected.grad_scale)) << test.spec.to_string();
    });
  }
}

TEST(FakeQuant, TouchesOnlyTheRowsOfTheRange) {
  const Case test{QuantSpec::parse("int4.channel.sym"), 4, 21};
  const Inputs inputs = inputs_of(test);
  for_each_target([&] {
    std::vector<float> values(inputs.w.size(), -7.0F);
    fake_quantise(inputs.plan, inputs.w.data(), values.data(), {1, 3});
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(values[i] == -7.0F, i < 21 || i >= 63) << i;
    }
  });
}

TEST(FakeQuant, KeepsNaNAndHasNoNegativeZero) {
  const Case test{QuantSpec::parse("int4.channel.sym"), 1, 20};
  Inputs inputs = inputs_of(test);
  inputs.w.assign(20, -1e-9F);
  inputs.w[3] = inputs.w[18] = std::numeric_limits<float>::quiet_NaN();
  for_each_target([&] {
    std::vector<float> values(20);
    std::vector<std::uint16_t> halves(20);
    fake_quantise(inputs.plan, inputs.w.data(), values.data(), {0, 1});
    fake_quantise(inputs.plan, inputs.w.data(), halves.data(), {0, 1});
    for (std::size_t i = 0; i < 20; ++i) {
      const bool is_nan = i == 3 || i == 18;
      EXPECT_EQ(std::isnan(values[i]), is_nan) << i;
      EXPECT_EQ(halves[i], is_nan ? 0x7FC0 : 0) << i;
      EXPECT_TRUE(is_nan || bits(values[i]) == 0U) << i;
    }
  });
}

}  // namespace
}  // namespace bitlaw::quant
