// Values and sums of frozen codes against plain loops over one element after the other, to the bit: every
// kind of number, neighbouring and scattered groups, rows that fill no vector, on every instruction set of
// this machine.
#include "quant/kernels/frozen_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "quant/kernels/bfloat16.h"
#include "quant/levels.h"
#include "tests/quant/support.h"
#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kRows = 21;

enum class Groups { neighbouring, scattered };

struct Weight {
  std::vector<std::uint8_t> codes;
  std::vector<float> scale;
  std::vector<float> scale_negative;
  std::vector<float> zero_point;
  std::vector<std::int32_t> group_index;
  FrozenPlan plan;
};

std::vector<std::uint8_t> some_codes(std::span<const float> levels, std::int64_t count) {
  std::vector<std::uint8_t> codes;
  for (std::size_t i = 0; static_cast<std::int64_t>(codes.size()) < count; ++i) {
    const std::size_t code = (i * 37 + i / 5) % levels.size();
    if (!std::isnan(levels[code])) {
      codes.push_back(static_cast<std::uint8_t>(code));
    }
  }
  return codes;
}

std::vector<float> positive_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values = normal_values(count, seed);
  for (float& value : values) {
    value = std::abs(value) + 0.001F;
  }
  return values;
}

Weight weight_of(const QuantSpec& spec, std::int64_t in, Groups kind) {
  Weight weight;
  weight.plan.levels = levels_of(spec);
  weight.plan.in_features = in;
  weight.plan.group_width = spec.group_width(in);
  weight.plan.groups = spec.groups(in);
  weight.plan.rows_per_scale = spec.group_height(kRows);
  weight.codes = some_codes(weight.plan.levels, kRows * in);
  const std::int64_t scales = spec.scale_rows(kRows) * weight.plan.groups;
  weight.scale = positive_values(scales, 1);
  weight.scale_negative = positive_values(spec.has_negative_scale() ? scales : 0, 2);
  weight.zero_point = normal_values(spec.has_zero_point() ? scales : 0, 3);
  if (kind == Groups::scattered) {
    for (std::int64_t i = 0; i < in; ++i) {
      weight.group_index.push_back(static_cast<std::int32_t>(i * 5 % weight.plan.groups));
    }
  }
  return weight;
}

// After the last move of `weight`.
void set_pointers(const QuantSpec& spec, Weight& weight) {
  const auto pointer = [](const auto& values) { return values.empty() ? nullptr : values.data(); };
  weight.plan.codes = weight.codes.data();
  weight.plan.scale = weight.scale.data();
  weight.plan.scale_negative = pointer(weight.scale_negative);
  weight.plan.zero_point = pointer(weight.zero_point);
  weight.plan.group_index = pointer(weight.group_index);
  const NumberType type = spec.fields().type;
  if (type == NumberType::integer || type == NumberType::ternary) {
    weight.plan.first_level = weight.plan.levels.back() - static_cast<float>(weight.plan.levels.size() - 1);
  }
}

struct Expected {
  std::vector<float> values;
  std::vector<double> sums;
  std::vector<double> sums_negative;
};

Expected expected_of(const Weight& weight, const std::vector<float>& grad) {
  const FrozenPlan& plan = weight.plan;
  Expected expected;
  expected.sums.resize(static_cast<std::size_t>(kRows * plan.groups));
  expected.sums_negative.resize(expected.sums.size());
  for (std::int64_t i = 0; i < kRows * plan.in_features; ++i) {
    const std::int64_t row = i / plan.in_features;
    const std::int64_t input = i % plan.in_features;
    const std::int64_t group = weight.group_index.empty()
                                   ? input / plan.group_width
                                   : weight.group_index[static_cast<std::size_t>(input)];
    const auto shared = static_cast<std::size_t>(row / plan.rows_per_scale * plan.groups + group);
    const float level = plan.levels[weight.codes[static_cast<std::size_t>(i)]];
    const float shifted = level - (weight.zero_point.empty() ? 0.0F : weight.zero_point[shared]);
    const bool other = !weight.scale_negative.empty() && std::signbit(level);
    expected.values.push_back(shifted * (other ? weight.scale_negative[shared] : weight.scale[shared]));
    std::vector<double>& sums = other ? expected.sums_negative : expected.sums;
    sums[static_cast<std::size_t>(row * plan.groups + group)] +=
        static_cast<double>(grad[static_cast<std::size_t>(i)]) * static_cast<double>(shifted);
  }
  return expected;
}

template <class Gradient>
void expect_sums(const Weight& weight, const std::vector<Gradient>& grad, const Expected& expected) {
  std::vector<double> sums(expected.sums.size());
  std::vector<double> negative(expected.sums.size());
  for (const RowRange rows : {RowRange{0, 3}, RowRange{3, kRows}}) {
    frozen_sums(weight.plan, grad.data(),
                {sums.data(), weight.scale_negative.empty() ? nullptr : negative.data()}, rows);
  }
  EXPECT_EQ(sums, expected.sums);
  EXPECT_EQ(negative, expected.sums_negative);
}

void expect_plain(const QuantSpec& spec, std::int64_t in, Groups kind) {
  SCOPED_TRACE(spec.to_string() + ", rows of " + std::to_string(in));
  Weight weight = weight_of(spec, in, kind);
  set_pointers(spec, weight);
  std::vector<float> grad = normal_values(kRows * in, 7);
  std::vector<std::uint16_t> half_grad;
  for (float& x : grad) {  // what both types hold
    half_grad.push_back(from_float<std::uint16_t>(x));
    x = to_float(half_grad.back());
  }
  const Expected expected = expected_of(weight, grad);
  std::vector<std::uint16_t> halves;
  for (const float value : expected.values) {
    halves.push_back(from_float<std::uint16_t>(value));
  }
  for_each_target([&] {
    std::vector<float> values(grad.size());
    frozen_values(weight.plan, values.data(), {0, 2});
    frozen_values(weight.plan, values.data(), {2, kRows});
    EXPECT_EQ(bits(values), bits(expected.values));
    std::vector<std::uint16_t> half_values(grad.size());
    frozen_values(weight.plan, half_values.data(), {0, kRows});
    EXPECT_EQ(half_values, halves);
    expect_sums(weight, grad, expected);
    expect_sums(weight, half_grad, expected);
  });
}

TEST(FrozenKernel, EveryNumberEqualsPlainLoops) {
  for (const char* text :
       {"int2.g7.sym", "int3.g32.asym", "int4.g128.sym", "int4.g20.asym.float16.zp_float16", "int8.g16.asym",
        "int2h.g16.sym", "ternary.g32.sym", "e2m1.g16.sym.e4m3", "e2m1.g32.sym.e8m0", "e2m1.g20.asym",
        "e4m3.g32.asym", "nf3.g32.asym", "nf4.g64.sym", "nf4.g7.asym", "int8.g32.sym.e8m0"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    for (const std::int64_t groups : {1, 3}) {
      expect_plain(spec, groups * spec.fields().group_size, Groups::neighbouring);
      expect_plain(spec, groups * spec.fields().group_size, Groups::scattered);
    }
  }
}

TEST(FrozenKernel, ScalesOfRowsTensorsAndBlocks) {
  for (const char* text : {"int4.channel.asym", "int3.tensor.sym", "e2m1.tensor.asym", "int4.b7x33.asym",
                           "nf4.b3x11.asym", "e5m2.channel.sym"}) {
    for (const std::int64_t in : {33, 99, 165}) {
      expect_plain(QuantSpec::parse(text), in, Groups::neighbouring);
    }
  }
}

// A sum of one row takes the gradients in their order: from the largest on, small ones vanish one by one.
TEST(FrozenKernel, SumsAreInTheOrderOfTheInputs) {
  const QuantSpec spec = QuantSpec::parse("int4.channel.sym");
  Weight weight = weight_of(spec, 200, Groups::neighbouring);
  set_pointers(spec, weight);
  std::vector<float> grad(kRows * 200, 1.0F);
  std::vector<std::uint8_t> ones(grad.size(), 9);  // level 1
  weight.plan.codes = ones.data();
  grad[0] = 0x1p54F;
  grad[300] = 0x1p54F;  // behind 100 others of row 1
  for_each_target([&] {
    std::vector<double> sums(kRows);
    frozen_sums(weight.plan, grad.data(), {sums.data(), nullptr}, {0, kRows});
    EXPECT_EQ(sums[0], 0x1p54);
    EXPECT_EQ(sums[1], 0x1p54 + 100.0);
    EXPECT_EQ(sums[2], 200.0);
  });
}

}  // namespace
}  // namespace bitlaw::quant
