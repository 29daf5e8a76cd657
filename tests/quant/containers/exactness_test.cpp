// Every container x every kind of spec: either the container's own arithmetic gives the weights to the bit
// and the weights come back under their own spec, or it is refused with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>

#include "quant/containers/awq_layer.h"
#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/gptq_layer.h"
#include "quant/containers/restate.h"
#include "tests/quant/containers/reference_readers.h"
#include "tests/quant/containers/sample_weights.h"

namespace bitlaw::quant {
namespace {

using tests::sample_weight;

constexpr std::int64_t kOut = 64;
constexpr std::int64_t kIn = 256;

// What a container makes of a weight: its values as others read them, and the weight as we read it.
struct Outcome {
  std::vector<float> values;
  PackedTensor natural;
  std::vector<std::int8_t> zero_points;
};
using Container = std::function<Outcome(const PackedTensor&, bool widen)>;

Outcome through_compressed(const PackedTensor& packed, bool widen, WordLayout layout) {
  const CompressedLayer layer = to_compressed_tensors(packed, {layout, widen, false});
  return {tests::compressed_values(layer, layout),
          from_compressed_tensors(layer.members, layer.spec, layer.format, layout),
          {}};
}

Outcome through_gptq(const PackedTensor& packed, bool widen, GptqVersion version) {
  const GptqLayer layer = to_gptq(packed, {version, widen});
  const QuantSpecFields& fields = layer.spec.fields();
  const std::int64_t size = fields.strategy == Strategy::group ? fields.group_size : -1;
  return {tests::gptq_values(layer, version),
          from_gptq(layer.members, {fields.num_bits, size, fields.symmetric, version}),
          {}};
}

Outcome through_awq(const PackedTensor& packed, bool widen) {
  const QuantSpecFields& fields = packed.spec.fields();
  std::int64_t size = fields.strategy == Strategy::group ? fields.group_size : -1;
  size = fields.strategy == Strategy::block ? fields.block_structure[1] : size;
  const Members members = to_awq(packed, {size, widen});
  return {tests::awq_values(members), from_awq(members, size), {}};
}

Outcome through_gguf(const PackedTensor& packed, bool widen) {
  const GgufWeight weight = to_gguf(packed, widen);
  const int bits = std::min(packed.spec.bits(), weight.type == BlockType::q4_1 ? 4 : 5);
  const bool with_minimum = weight.type == BlockType::q4_1 || weight.type == BlockType::q5_1;
  return {tests::gguf_values(weight, static_cast<std::size_t>(packed.out_features * packed.in_features)),
          from_gguf({weight.type, packed.out_features, packed.in_features, weight.bytes, weight.global_scale,
                     with_minimum ? bits : 0}),
          weight.zero_points};
}

const std::vector<Container>& containers() {
  static const std::vector<Container> all = {
      [](const auto& w, bool widen) { return through_compressed(w, widen, WordLayout::dense); },
      [](const auto& w, bool widen) { return through_compressed(w, widen, WordLayout::words); },
      [](const auto& w, bool widen) { return through_gptq(w, widen, GptqVersion::v1); },
      [](const auto& w, bool widen) { return through_gptq(w, widen, GptqVersion::v2); },
      through_awq,
      through_gguf};
  return all;
}

bool same_values(const std::vector<float>& a, const std::vector<float>& b) {
  return a == b;  // element by element; the sign of a zero is free
}

// 'y': held as it is; 'w': held when widened; '-': refused.
char judge(const PackedTensor& packed, const Container& container, const std::string& name) {
  for (const bool widen : {false, true}) {
    try {
      const Outcome outcome = container(packed, widen);
      EXPECT_TRUE(same_values(outcome.values, dequantise(packed))) << name;
      const PackedTensor back = restate(outcome.natural, packed.spec, outcome.zero_points);
      EXPECT_TRUE(same_values(dequantise(outcome.natural), dequantise(packed))) << name;
      EXPECT_EQ(back, packed) << name;
      return widen ? 'w' : 'y';
    } catch (const NoExactForm& error) {
      EXPECT_THAT(std::string(error.what()), testing::SizeIs(testing::Gt(15))) << name;
    }
  }
  return '-';
}

struct Row {
  const char* spec;
  const char* wanted;  // compressed-tensors, its layout before 0.18, GPTQ v1, v2, AWQ, GGUF
};

// clang-format off
constexpr Row kTable[] = {
    {"int2.g64.sym", "yyyywy"},   {"int3.g64.sym", "yyyyww"},   {"int4.g64.sym", "yyyyyy"},
    {"int5.g64.sym", "yyww-y"},   {"int6.g64.sym", "yyww-w"},   {"int7.g64.sym", "yyww-w"},
    {"int8.g64.sym", "yyyy-y"},   {"int2h.g64.sym", "wwwwww"},  {"int3h.g64.sym", "wwwwww"},
    {"int4h.g64.sym", "wwww-w"},  {"int5h.g64.sym", "wwww-w"},  {"int6h.g64.sym", "wwww-w"},
    {"int7h.g64.sym", "wwww-w"},  {"int8h.g64.sym", "------"},
    {"int2.g64.asym", "yyyyww"},  {"int3.g64.asym", "yyyyww"},  {"int4.g64.asym", "yyyyyw"},
    {"int5.g64.asym", "yyww-w"},  {"int6.g64.asym", "yyww-w"},  {"int7.g64.asym", "yyww-w"},
    {"int8.g64.asym", "yyyy--"},
    {"int4.tensor.sym", "yyyyyy"},  {"int4.channel.sym", "yyyyyy"},  {"int4.b32x64.sym", "yyyyyy"},
    {"int4.tensor.asym", "yyyyyy"}, {"int4.channel.asym", "yyyyyw"}, {"int4.b32x64.asym", "yyyyyw"},
    {"int8.b32x64.sym", "yyyy-y"},  {"int8.b32x64.asym", "yyyy--"},  {"int3.channel.asym", "yyyyww"},
    {"int4.g32.sym", "yyyyyy"},     {"int4.g16.sym", "yyyyy-"},      {"int2.g32.sym", "yyyyww"},
    {"int4.g64.sym.bfloat16", "yyyyyy"}, {"int4.g64.sym.float32", "yy----"}, {"int2h.g64.sym.float32", "ww----"},
    {"int8.g32.sym.e8m0", "yyyy-y"},     {"int4.g16.sym.e4m3", "------"},
    {"int4.g64.asym.float16.zp_float16", "------"},
    {"ternary.g256.sym", "yyyywy"}, {"ternary.g64.sym", "yyyywy"}, {"ternary.g32.sym", "yyyyww"},
    {"ternary.channel.sym", "yyyywy"},
    {"nf4.g64.sym", "------"},      {"nf3.g64.sym", "------"},     {"nf4.g64.asym", "------"},
    {"e2m1.g32.sym.e8m0", "yy---y"}, {"e2m1.g16.sym.e4m3", "yy---y"}, {"e2m1.g32.sym.e4m3", "------"},
    {"e2m1.g64.sym", "------"},      {"e2m1.channel.sym", "------"},  {"e2m1.g64.asym", "------"},
    {"e2m3.g32.sym.e8m0", "yy----"}, {"e3m2.g32.sym.e8m0", "------"}, {"e5m2.g32.sym.e8m0", "------"},
    {"e4m3.g32.sym.e8m0", "yy----"}, {"e4m3.channel.sym", "yy----"},  {"e4m3.tensor.sym.float32", "yy----"},
    {"e4m3.b32x64.sym.float32", "yy----"}, {"e4m3.g64.sym.bfloat16", "yy----"}, {"e4m3.g64.asym", "------"},
    {"e5m2.channel.sym", "------"},  {"e3m0.g64.sym", "------"},      {"e2m2.g64.sym", "------"},
    {"e3m1.g64.sym", "------"},      {"e1m1.g64.sym", "------"},      {"e2m0.g64.sym", "------"},
};
// clang-format on

TEST(Exactness, EverySpecInEveryContainer) {
  for (const Row& row : kTable) {
    const PackedTensor packed = sample_weight(row.spec, kOut, kIn);
    std::string found;
    for (const Container& container : containers()) {
      found += judge(packed, container, row.spec);
    }
    EXPECT_EQ(found, row.wanted) << row.spec;
  }
}

TEST(Exactness, ScatteredGroupsAreWhatGptqAndTheOldLayoutHold) {
  for (const char* spec : {"int4.g64.sym", "int4.g64.asym", "int3.g32.sym"}) {
    const PackedTensor packed = tests::scattered(sample_weight(spec, kOut, kIn));
    std::string found;
    for (const Container& container : containers()) {
      found += judge(packed, container, spec);
    }
    EXPECT_EQ(found, "-yyy--") << spec;
  }
}

TEST(Exactness, AnInputTransformIsWhatNoneHolds) {
  PackedTensor packed = sample_weight("int4.g64.sym", kOut, kIn);
  packed.input_multiplier.assign(kIn, 2.0F);
  for (const Container& container : containers()) {
    EXPECT_EQ(judge(packed, container, "multiplier"), '-');
  }
  packed.input_multiplier.clear();
  packed.hadamard_block = 64;
  for (const Container& container : containers()) {
    EXPECT_EQ(judge(packed, container, "rotation"), '-');
  }
}

TEST(Exactness, RealZeroPointsThatAreLevelsAreHeld) {
  PackedTensor packed = sample_weight("int4.g64.asym.float16.zp_float16", kOut, kIn);
  for (float& zero_point : packed.zero_point_real) {
    zero_point = std::floor(zero_point);
  }
  std::string found;
  for (const Container& container : containers()) {
    found += judge(packed, container, "integer zero points");
  }
  EXPECT_EQ(found, "yyyyyw");
}

TEST(Exactness, AZeroOfZeroIsWhatGptqV1Lacks) {
  PackedTensor packed = sample_weight("int4.g64.asym", kOut, kIn);
  packed.zero_point[5] = -8;
  EXPECT_EQ(judge(packed, containers()[2], "v1"), '-');
  EXPECT_EQ(judge(packed, containers()[3], "v2"), 'y');
}

TEST(Exactness, Q4_1HoldsShiftedGridsWithExactMinima) {
  for (const char* spec : {"int4h.g32.sym", "int4.g32.asym", "int5h.g32.sym", "int5.g32.asym"}) {
    PackedTensor packed = sample_weight(spec, kOut, kIn);
    for (std::size_t i = 0; i < packed.scale.size(); ++i) {
      packed.scale[i] = std::ldexp(1.0F, static_cast<int>(i % 7) - 5);
    }
    EXPECT_EQ(judge(packed, containers()[5], spec), 'y') << spec;
    EXPECT_THAT(std::string(facts_of(to_gguf(packed, false).type).name), testing::MatchesRegex("Q[45]_1"))
        << spec;
  }
}

TEST(Exactness, NvFp4NeedsAGlobalScaleThatOthersCanSay) {
  PackedTensor packed = sample_weight("e2m1.g16.sym.e4m3", kOut, kIn);
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    packed.global_scale = 0.001F + 1e-5F * static_cast<float>(i);
    refused += judge(packed, containers()[0], "any") == '-' ? 1 : 0;
    packed.global_scale = std::ldexp(1.0F, i - 30);
    EXPECT_EQ(judge(packed, containers()[0], "power of two"), 'y');
    EXPECT_EQ(judge(packed, containers()[5], "power of two"), 'y');
  }
  EXPECT_GT(refused, 20);  // four of five
}

}  // namespace
}  // namespace bitlaw::quant
