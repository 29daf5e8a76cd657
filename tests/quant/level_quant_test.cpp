// Kernels of formats that are no grid (floats, quantiles, ternary), of blocks and of real zero points,
// against a search through the level table and against formulas said once more, for every instruction set of
// this machine.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "quant/affine.h"
#include "quant/kernels/bfloat16.h"
#include "quant/kernels/fake_quant.h"
#include "quant/levels.h"
#include "quant/pack.h"
#include "tests/quant/support.h"
#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

constexpr std::int64_t kOut = 4;
constexpr std::int64_t kIn = 96;

std::vector<QuantSpec> specs() {
  std::vector<QuantSpec> all;
  for (const char* text : {"e2m1.g32.sym.e8m0",
                           "e2m3.g32.sym.e8m0",
                           "e3m2.g32.sym.e8m0",
                           "e4m3.g32.sym.e8m0",
                           "e5m2.g32.sym.e8m0",
                           "int8.g32.sym.e8m0",
                           "e2m1.g16.sym.e4m3",
                           "int4.g16.sym.e4m3",
                           "e1m1.g48.sym",
                           "e2m0.g48.asym",
                           "e2m1.g32.asym",
                           "e3m0.channel.sym.float32",
                           "e2m2.tensor.sym",
                           "e3m1.b2x48.sym",
                           "e4m3.b4x32.asym.bfloat16",
                           "e5m2.channel.asym",
                           "nf3.g32.sym",
                           "nf4.g24.asym",
                           "nf4.b2x12.sym.float32",
                           "ternary.g32.sym",
                           "ternary.tensor.sym.bfloat16",
                           "int4.g32.asym.float16.zp_float16",
                           "int2.b2x32.asym",
                           "int5h.b4x96.sym"}) {
    all.push_back(QuantSpec::parse(text));
  }
  return all;
}

struct Layer {
  QuantSpec spec;
  std::vector<float> w;
  PackedTensor packed;  // without codes
  std::vector<float> scales;
  FakeQuantPlan plan;
};

std::size_t shared_index(const QuantSpec& spec, std::size_t i) {
  const auto row = static_cast<std::int64_t>(i) / kIn;
  return static_cast<std::size_t>(row / spec.group_height(kOut) * spec.groups(kIn) +
                                  static_cast<std::int64_t>(i) % kIn / spec.group_width(kIn));
}

Layer layer_of(const QuantSpec& spec) {
  Layer layer{spec, normal_values(kOut * kIn, 21), {}, {}, {}};
  const AffineParameters found = find_parameters(layer.w, kOut, kIn, spec, ScaleSearch::absmax);
  layer.packed.spec = spec;
  layer.packed.out_features = kOut;
  layer.packed.in_features = kIn;
  layer.packed.scale = found.scale;
  layer.packed.zero_point = found.zero_point;
  layer.packed.zero_point_real = found.zero_point_real;
  layer.packed.scale_negative = found.scale_negative;
  layer.packed.global_scale = found.global_scale;
  layer.scales = effective_scales(layer.packed);
  const std::span<const float> levels = levels_of(spec);
  for (std::size_t i = 0; i < layer.w.size();
       ++i) {  // midpoints, levels, beyond the range, zeros of both signs
    const float scale = layer.scales[shared_index(spec, i)];
    if (i % 7 == 0) {
      const std::size_t code = i % (levels.size() - 1);
      const float middle = (levels[code] + levels[code + 1]) / 2;
      layer.w[i] = std::isnan(middle) ? 0.0F : middle * scale;
    } else if (i % 11 == 0) {
      layer.w[i] *= 3.0F;
    } else if (i % 13 == 0) {
      layer.w[i] = std::copysign(i % 2 == 0 ? 0.0F : 1e-39F, layer.w[i]);
    }
  }
  return layer;
}

void set_pointers(Layer& layer) {
  layer.plan = fake_quant_plan(layer.spec, kIn);
  layer.plan.scale = layer.scales.data();
  layer.plan.scale_negative =
      layer.packed.scale_negative.empty() ? nullptr : layer.packed.scale_negative.data();
  layer.plan.zero_point = layer.packed.zero_point.empty() ? nullptr : layer.packed.zero_point.data();
  layer.plan.zero_point_real =
      layer.packed.zero_point_real.empty() ? nullptr : layer.packed.zero_point_real.data();
}

float scale_of(const Layer& layer, std::size_t i) {
  const std::size_t shared = shared_index(layer.spec, i);
  const bool other = !layer.packed.scale_negative.empty() && std::signbit(layer.w[i]);
  return other ? layer.packed.scale_negative[shared] : layer.scales[shared];
}

// Distance of the element from the level of a code, in units of the scale, as the kernels see it: by a
// float32 quotient.
double distance(const Layer& layer, std::size_t i, std::size_t code) {
  const std::size_t shared = shared_index(layer.spec, i);
  float zero_point =
      layer.packed.zero_point.empty() ? 0.0F : static_cast<float>(layer.packed.zero_point[shared]);
  zero_point = layer.packed.zero_point_real.empty() ? zero_point : layer.packed.zero_point_real[shared];
  const float exact = layer.w[i] / scale_of(layer, i);
  const bool grid =
      layer.spec.fields().type == NumberType::integer || layer.spec.fields().type == NumberType::ternary;
  const auto offset = static_cast<float>(layer.spec.level_offset());
  const float position = grid ? exact + (zero_point - offset) : exact;
  const float level = levels_of(layer.spec)[code] - (grid ? offset : 0.0F);
  return std::abs(static_cast<double>(level) - static_cast<double>(position));
}

TEST(LevelQuant, CodesAreNearestAndValuesAreTheirLevels) {
  for (const QuantSpec& spec : specs()) {
    Layer layer = layer_of(spec);
    set_pointers(layer);
    const std::span<const float> levels = levels_of(spec);
    for_each_target([&] {
      std::vector<std::uint8_t> codes(layer.w.size());
      std::vector<float> values(layer.w.size());
      std::vector<std::uint16_t> halves(layer.w.size());
      ASSERT_TRUE(make_codes(layer.plan, layer.w.data(), codes.data(), {0, kOut}));
      fake_quantise(layer.plan, layer.w.data(), values.data(), {0, kOut});
      fake_quantise(layer.plan, layer.w.data(), halves.data(), {0, kOut});
      const PackedTensor packed = pack(layer.packed, codes);
      EXPECT_EQ(unpack(packed), codes);
      EXPECT_EQ(bits(dequantise(packed)), bits(values)) << spec.to_string();
      for (std::size_t i = 0; i < codes.size(); ++i) {
        ASSERT_EQ(halves[i], from_float<std::uint16_t>(values[i]));
        const double chosen = distance(layer, i, codes[i]);
        for (std::size_t code = 0; code < levels.size(); ++code) {
          if (!std::isnan(levels[code])) {
            ASSERT_LE(chosen, distance(layer, i, code) * (1 + 1e-7) + 6e-8)  // midpoints are float32
                << spec.to_string() << " " << layer.w[i];
          }
        }
        if (spec.fields().type == NumberType::floating) {  // the sign is kept, of zero too
          ASSERT_EQ(codes[i] >> (spec.bits() - 1) != 0, std::signbit(layer.w[i])) << spec.to_string();
        }
      }
    });
  }
}

TEST(LevelQuant, EveryThresholdOfTheQuantileFormats) {
  for (const char* text : {"nf3.tensor.sym.float32", "nf4.tensor.sym.float32"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    const std::span<const float> thresholds = quantile_thresholds(spec.bits());
    std::vector<float> w;
    std::vector<std::uint8_t> wanted;
    for (std::size_t i = 0; i < thresholds.size(); ++i) {
      w.insert(w.end(), {thresholds[i], std::nextafter(thresholds[i], 2.0F)});
      wanted.insert(wanted.end(), {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i + 1)});
    }
    FakeQuantPlan plan = fake_quant_plan(spec, static_cast<std::int64_t>(w.size()));
    const float one = 1.0F;
    plan.scale = &one;
    for_each_target([&] {
      std::vector<std::uint8_t> codes(w.size());
      ASSERT_TRUE(make_codes(plan, w.data(), codes.data(), {0, 1}));
      EXPECT_EQ(codes, wanted) << text;
    });
  }
}

TEST(LevelQuant, CodesOfValuesAreTheCodesAgain) {
  for (const QuantSpec& spec : specs()) {
    Layer layer = layer_of(spec);
    set_pointers(layer);
    std::vector<std::uint8_t> codes(layer.w.size());
    const std::span<const float> levels = levels_of(spec);
    std::vector<std::uint8_t> valid;
    for (std::size_t code = 0; code < levels.size(); ++code) {
      if (!std::isnan(levels[code])) {
        valid.push_back(static_cast<std::uint8_t>(code));
      }
    }
    for (std::size_t i = 0; i < codes.size(); ++i) {
      codes[i] = valid[(i * 37 + i / 96) % valid.size()];
    }
    const std::vector<float> values = dequantise(pack(layer.packed, codes));
    std::vector<std::uint8_t> again(codes.size());
    ASSERT_TRUE(make_codes(layer.plan, values.data(), again.data(), {0, kOut}));
    EXPECT_EQ(again, codes) << spec.to_string();
    std::vector<float> values_again(codes.size());
    fake_quantise(layer.plan, values.data(), values_again.data(), {0, kOut});
    EXPECT_EQ(bits(values_again), bits(values)) << spec.to_string();
  }
}

float largest_level(const QuantSpec& spec) {
  float largest = 0.0F;
  for (const float level : levels_of(spec)) {
    largest = std::isnan(level) ? largest : std::max(largest, level);
  }
  return largest;
}

TEST(LevelQuant, GradientsOfFloatsAndQuantiles) {
  const std::vector<float> grad = normal_values(kOut * kIn, 5);
  for (const QuantSpec& spec : specs()) {
    if (spec.fields().type != NumberType::floating && spec.fields().type != NumberType::quantile) {
      continue;
    }
    Layer layer = layer_of(spec);
    set_pointers(layer);
    std::vector<float> values(layer.w.size());
    fake_quantise(layer.plan, layer.w.data(), values.data(), {0, kOut});
    const auto groups = static_cast<std::size_t>(spec.groups(kIn));
    const std::size_t sums = kOut * groups;
    for_each_target([&] {
      std::vector<float> grad_w(layer.w.size());
      std::vector<float> grad_scale(sums);
      std::vector<float> grad_negative(sums);
      fake_quant_backward(layer.plan,
                          FakeQuantGradients<float>{layer.w.data(), grad.data(), grad_w.data(),
                                                    grad_scale.data(), grad_negative.data()},
                          {0, kOut});
      std::vector<double> wanted(sums);
      std::vector<double> wanted_negative(sums);
      for (std::size_t i = 0; i < layer.w.size(); ++i) {
        const float scale = scale_of(layer, i);
        const bool inside = std::abs(layer.w[i]) <= largest_level(spec) * scale;
        ASSERT_EQ(grad_w[i], inside ? grad[i] : 0.0F) << spec.to_string() << " " << i;
        const float exact = layer.w[i] / scale;
        const auto level = static_cast<double>(values[i]) / static_cast<double>(scale);
        const double term =
            static_cast<double>(grad[i]) * (inside ? level - static_cast<double>(exact) : level);
        const std::size_t group =
            i / kIn * groups + i % kIn / static_cast<std::size_t>(spec.group_width(kIn));
        (spec.has_negative_scale() && std::signbit(layer.w[i]) ? wanted_negative : wanted)[group] += term;
      }
      for (std::size_t group = 0; group < sums; ++group) {
        const double size =
            1e-5 * static_cast<double>(spec.group_width(kIn)) * static_cast<double>(largest_level(spec));
        ASSERT_NEAR(grad_scale[group], wanted[group], size) << spec.to_string();
        ASSERT_NEAR(grad_negative[group], wanted_negative[group], size) << spec.to_string();
      }
    });
  }
}

TEST(LevelQuant, EveryInstructionSetGivesTheSameGradientBits) {
  const std::vector<float> grad = normal_values(kOut * kIn, 6);
  for (const QuantSpec& spec : specs()) {
    Layer layer = layer_of(spec);
    set_pointers(layer);
    const auto sums = static_cast<std::size_t>(kOut * spec.groups(kIn));
    std::vector<std::uint32_t> first;
    for_each_target([&] {
      std::vector<float> grad_w(layer.w.size());
      std::vector<float> grad_scale(2 * sums);
      fake_quant_backward(layer.plan,
                          FakeQuantGradients<float>{layer.w.data(), grad.data(), grad_w.data(),
                                                    grad_scale.data(), grad_scale.data() + sums},
                          {0, kOut});
      grad_w.insert(grad_w.end(), grad_scale.begin(), grad_scale.end());
      first = first.empty() ? bits(grad_w) : first;
      EXPECT_EQ(bits(grad_w), first) << spec.to_string();
    });
  }
}

TEST(LevelQuant, NaNStaysNaN) {
  for (const QuantSpec& spec : specs()) {
    Layer layer = layer_of(spec);
    set_pointers(layer);
    layer.w[1] = layer.w[95] = std::numeric_limits<float>::quiet_NaN();
    for_each_target([&] {
      std::vector<float> values(layer.w.size());
      fake_quantise(layer.plan, layer.w.data(), values.data(), {0, kOut});
      EXPECT_TRUE(std::isnan(values[1]) && std::isnan(values[95])) << spec.to_string();
      EXPECT_FALSE(std::isnan(values[2]));
    });
  }
}

}  // namespace
}  // namespace bitlaw::quant
