// Scales of many groups at once against find_group, which takes one group after the other, to the bit: every
// format, scale type and group size, on every instruction set of this machine.
#include "quant/kernels/absmax_scales.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "quant/affine.h"
#include "quant/scale_search.h"
#include "tests/quant/support.h"
#include "tests/quant/targets.h"

namespace bitlaw::quant {
namespace {

// Groups of very different sizes: from below the smallest scale of every type to above the largest; of zeros,
// of one sign, of one element that counts, in turn.
std::vector<float> uneven_weights(std::int64_t width, std::int64_t groups) {
  std::vector<float> w = normal_values(width * groups, static_cast<std::uint64_t>(width));
  for (std::size_t i = 0; i < w.size(); ++i) {
    const auto group = static_cast<int>(static_cast<std::int64_t>(i) / width);
    const int exponents[] = {-3, 0, -10, -16, -24, 12, 20, -132, -148, 125, -6, -1, -127, -30};
    w[i] = std::ldexp(w[i], exponents[group % 14]);
    switch (group % 9) {
      case 4:
        w[i] = std::abs(w[i]);
        break;
      case 5:
        w[i] = -std::abs(w[i]);
        break;
      case 6:
        w[i] = std::copysign(0.0F, w[i]);
        break;
      case 7:
        w[i] = static_cast<std::int64_t>(i) % width + 1 == width ? w[i] : 0.0F;
        break;
      default:
        break;
    }
  }
  return w;
}

std::vector<std::string> specs(const std::string& group) {
  std::vector<std::string> all;
  for (const char* number : {"int2", "int3", "int4", "int8"}) {
    for (const char* scale : {"float16", "float32", "bfloat16"}) {
      all.push_back(std::string(number).append(".").append(group).append(".sym.").append(scale));
      all.push_back(std::string(number).append(".").append(group).append(".asym.").append(scale));
      all.push_back(all.back() + ".zp_float16");
    }
  }
  for (const char* number : {"int2h", "int5h", "e2m1", "e3m2", "e4m3", "e5m2", "nf3", "nf4"}) {
    all.push_back(std::string(number).append(".").append(group).append(".sym"));
  }
  for (const char* number : {"e2m1", "e3m0", "nf4"}) {
    all.push_back(std::string(number).append(".").append(group).append(".asym"));
  }
  return all;
}

void expect_scales_of_find_group(const QuantSpec& spec, std::int64_t width, std::int64_t groups,
                                 const std::vector<float>& w) {
  const AffineParameters found = find_parameters(w, groups, width, spec, ScaleSearch::absmax);
  for (std::int64_t group = 0; group < groups; ++group) {
    SCOPED_TRACE(spec.to_string() + ", group " + std::to_string(group) + " of " + std::to_string(groups));
    const auto at = static_cast<std::size_t>(group);
    const std::span<const float> elements =
        std::span(w).subspan(at * static_cast<std::size_t>(width), static_cast<std::size_t>(width));
    const GroupParameters wanted =
        find_group(elements, spec, ScaleSearch::absmax, found.global_scale.value_or(1.0F));
    ASSERT_EQ(bits(found.scale[at]), bits(wanted.scale));
    if (spec.has_negative_scale()) {
      ASSERT_EQ(bits(found.scale_negative[at]), bits(wanted.scale_negative));
    }
    if (!found.zero_point_real.empty()) {
      ASSERT_EQ(bits(found.zero_point_real[at]), bits(wanted.zero_point));
    } else if (spec.has_zero_point()) {
      ASSERT_EQ(static_cast<float>(found.zero_point[at]), wanted.zero_point);
    }
  }
}

TEST(AbsmaxScales, EveryFormatAndGroupSizeEqualsOneGroupAfterTheOther) {
  for (const std::int64_t width : {1, 7, 16, 20, 32, 37, 64, 128}) {
    const std::int64_t groups = 43;  // no multiple of a vector
    const std::vector<float> w = uneven_weights(width, groups);
    for_each_target([&] {
      for (const std::string& text : specs(std::string("g").append(std::to_string(width)))) {
        expect_scales_of_find_group(QuantSpec::parse(text), width, groups, w);
      }
    });
  }
}

TEST(AbsmaxScales, BlockFormats) {
  for (const std::int64_t width : {16, 32}) {
    const std::vector<float> w = uneven_weights(width, 150);
    const std::vector<float> even = normal_values(width * 150, 3);
    for_each_target([&] {
      for (const char* text :
           {"e2m1.g32.sym.e8m0", "e2m3.g32.sym.e8m0", "e3m2.g32.sym.e8m0", "e4m3.g32.sym.e8m0",
            "e5m2.g32.sym.e8m0", "int8.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "int4.g16.sym.e4m3"}) {
        const QuantSpec spec = QuantSpec::parse(text);
        if (spec.fields().group_size == width) {
          expect_scales_of_find_group(spec, width, 150, w);
          expect_scales_of_find_group(spec, width, 150, even);
        }
      }
    });
  }
}

// All positive E4M3 numbers, the midpoints between them and the neighbours of those.
TEST(AbsmaxScales, RoundsLikeE4m3Everywhere) {
  const QuantSpec spec = QuantSpec::parse("e2m1.g1.sym.e4m3");
  std::vector<float> w = {6.0F * 448.0F};  // global scale 1
  for (int pattern = 0; pattern < 126; ++pattern) {
    const float low =
        round_to(std::ldexp(static_cast<float>(8 + pattern % 8), pattern / 8 - 10), ScaleType::e4m3);
    const float middle = low * 6.0F * (1.0F + 0.5F / static_cast<float>(8 + pattern % 8));
    for (const float x : {low * 6.0F, middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 1e9F)}) {
      w.push_back(std::min(x, 6.0F * 448.0F));
    }
  }
  for_each_target([&] { expect_scales_of_find_group(spec, 1, static_cast<std::int64_t>(w.size()), w); });
}

TEST(AbsmaxScales, OneElementThatIsNotFiniteIsSeenAnywhere) {
  for (const char* text : {"int4.g37.sym", "int4.g37.asym", "e2m1.g37.asym"}) {
    const QuantSpec spec = QuantSpec::parse(text);
    const AbsmaxRule rule = absmax_rule(spec, 1.0F);
    std::vector<float> scales(3);
    std::vector<float> others(3);
    const AbsmaxScales into{scales, spec.has_negative_scale() ? std::span(others) : std::span<float>(),
                            spec.has_zero_point() ? std::span(others) : std::span<float>()};
    for_each_target([&] {
      EXPECT_TRUE(absmax_scales(rule, normal_values(111, 1), 37, into));
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                              -std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
        for (std::size_t i = 0; i < 111; ++i) {
          std::vector<float> w = normal_values(111, 1);
          w[i] = bad;
          EXPECT_FALSE(absmax_scales(rule, w, 37, into)) << text << " " << i;
        }
      }
    });
  }
}

}  // namespace
}  // namespace bitlaw::quant
