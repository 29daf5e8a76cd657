// Formats against the tensors of other implementations: OCP MX (microxcaling), float8 casts (PyTorch), scales
// and codes of compressed-tensors.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "quant/affine.h"
#include "quant/block_format.h"
#include "quant/float_format.h"
#include "quant/kernels/fake_quant.h"
#include "quant/pack.h"
#include "quant/scale_search.h"
#include "tests/quant/support.h"
#include "tests/support/golden_file.h"

namespace bitlaw::quant {
namespace {

std::vector<float> floats(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

std::vector<int> integers(const at::Tensor& x) {
  std::vector<int> values;
  const at::Tensor flat = x.contiguous();
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    values.push_back(static_cast<int>(flat.const_data_ptr<std::int64_t>()[i]));
  }
  return values;
}

struct Weight {
  std::vector<float> w;
  std::int64_t out = 0;
  std::int64_t in = 0;
};

Weight golden_weight(const tests::GoldenFile& file) {
  const at::Tensor weight = file.tensor("weight");
  return {floats(weight), weight.size(0), weight.size(1)};
}

std::vector<std::uint8_t> codes_of(const Weight& weight, const QuantSpec& spec,
                                   const std::vector<float>& scale) {
  FakeQuantPlan plan = fake_quant_plan(spec, weight.in);
  plan.scale = scale.data();
  std::vector<std::uint8_t> codes(weight.w.size());
  EXPECT_TRUE(make_codes(plan, weight.w.data(), codes.data(), {0, weight.out}));
  return codes;
}

std::vector<float> values_of(const Weight& weight, const QuantSpec& spec, const std::vector<float>& scale) {
  PackedTensor packed;
  packed.spec = spec;
  packed.out_features = weight.out;
  packed.in_features = weight.in;
  packed.scale = scale;
  return dequantise(pack(packed, codes_of(weight, spec, scale)));
}

TEST(FormatsGolden, MxFormatsByTheStandardsRule) {
  const tests::GoldenFile file("quant.h5");
  const Weight weight = golden_weight(file);
  for (const std::string name : {"fp4_e2m1", "fp6_e2m3", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2", "int8"}) {
    const std::string format = name.starts_with("int") ? name : name.substr(4);
    const QuantSpec spec = QuantSpec::parse(format + ".g32.sym.e8m0");
    const AffineParameters found =
        find_parameters(weight.w, weight.out, weight.in, spec, ScaleSearch::absmax);
    EXPECT_EQ(values_of(weight, spec, found.scale), floats(file.tensor("mx/" + name + "/even"))) << name;
  }
}

TEST(FormatsGolden, CastsToEightBits) {
  const tests::GoldenFile file("quant.h5");
  const std::vector<float> input = floats(file.tensor("cast/input"));
  const std::vector<float> e4m3 = floats(file.tensor("cast/e4m3fn_saturated"));
  const std::vector<float> e5m2 = floats(file.tensor("cast/e5m2_saturated"));
  const std::vector<float> brain = floats(file.tensor("cast/bf16"));
  ASSERT_EQ(input.size(), e4m3.size());
  for (std::size_t i = 0; i < input.size(); ++i) {
    ASSERT_EQ(bits(round_to_format(input[i], FloatFormat::e4m3)), bits(e4m3[i])) << input[i];
    ASSERT_EQ(bits(round_to_format(input[i], FloatFormat::e5m2)), bits(e5m2[i])) << input[i];
    ASSERT_EQ(bits(round_to(input[i], ScaleType::bfloat16)), bits(brain[i])) << input[i];
  }
}

// Code i of a row of codes that are packed lowest bit first.
int packed_code(const std::vector<int>& bytes, std::size_t i, std::size_t bits) {
  int code = 0;
  for (std::size_t bit = 0; bit < bits; ++bit) {
    const std::size_t at = i * bits + bit;
    code |= (bytes[at / 8] >> (at % 8) & 1) << bit;
  }
  return code;
}

TEST(FormatsGolden, MxOfCompressedTensors) {
  const tests::GoldenFile file("quant.h5");
  const Weight weight = golden_weight(file);
  struct Format {
    std::string group;
    const char* spec;
    const char* codes;
  };
  for (const Format& format : {Format{"mxfp4", "e2m1.g32.sym.e8m0", "weight_packed"},
                               Format{"mxfp6", "e2m3.g32.sym.e8m0", "weight_packed"},
                               Format{"mxfp8", "e4m3.g32.sym.e8m0", "weight"}}) {
    const QuantSpec spec = QuantSpec::parse(format.spec);
    const std::string path = "compressed_tensors/" + format.group + "/";
    const std::vector<int> bytes = integers(file.tensor(path + "weight_scale"));
    std::vector<float> scale;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      scale.push_back(mx_scale_of_compressed_tensors(amax_of(std::span(weight.w).subspan(i * 32, 32)), spec));
      ASSERT_EQ(e8m0_byte(scale.back()), bytes[i]) << format.group << " block " << i;
    }
    const std::vector<std::uint8_t> codes = codes_of(weight, spec, scale);
    const std::vector<int> stored = integers(file.tensor(path + format.codes));
    for (std::size_t i = 0; i < codes.size(); ++i) {
      ASSERT_EQ(codes[i], packed_code(stored, i, static_cast<std::size_t>(spec.bits()))) << format.group;
    }
    EXPECT_EQ(values_of(weight, spec, scale), floats(file.tensor(path + "decompressed"))) << format.group;
  }
}

TEST(FormatsGolden, LocalScalesOfNvfp4) {
  const tests::GoldenFile file("quant.h5");
  const Weight weight = golden_weight(file);
  const QuantSpec spec = QuantSpec::parse("e2m1.g16.sym.e4m3");
  const float multiplier = file.tensor("compressed_tensors/nvfp4/weight_global_scale").item<float>();
  EXPECT_EQ(multiplier, 2688.0F * (1.0F / amax_of(weight.w)));
  // Ours is the power of two above the reciprocal of theirs.
  const float global = global_scale_of_amax(amax_of(weight.w), spec);
  EXPECT_GE(global, 1.0F / multiplier);
  EXPECT_LT(global, 2.0F / multiplier);
  const std::vector<int> bytes = integers(file.tensor("compressed_tensors/nvfp4/weight_scale"));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto group = std::span(weight.w).subspan(i * 16, 16);
    const float scale = find_group(group, spec, ScaleSearch::absmax, 1.0F / multiplier).scale;
    ASSERT_EQ(pattern_of(scale, FloatFormat::e4m3), bytes[i]) << i;
  }
}

}  // namespace
}  // namespace bitlaw::quant
