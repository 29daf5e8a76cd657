// Tensors and configurations that somebody else wrote, wrong in one place: refused by name, never believed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "data/formats/input_error.h"
#include "quant/containers/awq_layer.h"
#include "quant/containers/compressed_tensors_config.h"
#include "quant/containers/compressed_tensors_layer.h"
#include "quant/containers/gguf.h"
#include "quant/containers/gguf_weight.h"
#include "quant/containers/gptq_config.h"
#include "quant/containers/gptq_layer.h"
#include "tests/quant/containers/sample_weights.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::Json;
using testing::AllOf;
using testing::HasSubstr;
using tests::sample_weight;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "no error";
}

template <class T>
void set(data::RawTensor& tensor, std::size_t index, T value) {
  std::memcpy(tensor.bytes.data() + index * sizeof(T), &value, sizeof(T));
}

using Change = std::function<void(Members&)>;

std::string compressed(const std::string& spec, const Change& change) {
  CompressedLayer layer = to_compressed_tensors(sample_weight(spec, 64, 256), {});
  change(layer.members);
  return message_of([&] { from_compressed_tensors(layer.members, layer.spec, layer.format, std::nullopt); });
}

TEST(HostileCompressed, UnchangedTensorsAreRead) {
  for (const char* spec : {"int3.g64.asym", "e2m1.g16.sym.e4m3", "e4m3.channel.sym", "e2m3.g32.sym.e8m0"}) {
    EXPECT_EQ(compressed(spec, [](Members&) {}), "no error") << spec;
  }
}

TEST(HostileCompressed, MissingAndUnknownTensorsAreNamed) {
  for (const char* name : {"weight_packed", "weight_scale", "weight_shape", "weight_zero_point"}) {
    EXPECT_THAT(compressed("int3.g64.asym", [&](Members& m) { m.erase(name); }),
                HasSubstr(std::string("no tensor ") + name));
  }
  EXPECT_THAT(compressed("int3.g64.sym", [](Members& m) { m["input_scale"] = m["weight_scale"]; }),
              HasSubstr("tensor input_scale is not known"));
  EXPECT_THAT(compressed("int3.g64.sym", [](Members& m) { m["weight_zero_point"] = m["weight_scale"]; }),
              HasSubstr("weight_zero_point is not known"));
}

TEST(HostileCompressed, ShapesAreNotBelieved) {
  EXPECT_THAT(
      compressed("int3.g64.sym", [](Members& m) { set(m["weight_shape"], 1, std::int64_t{1} << 40); }),
      HasSubstr("both extents are 1 to 2^31"));
  EXPECT_THAT(compressed("int3.g64.sym", [](Members& m) { set(m["weight_shape"], 0, std::int64_t{-64}); }),
              HasSubstr("-64 x 256"));
  EXPECT_THAT(compressed("int3.g64.sym", [](Members& m) { set(m["weight_shape"], 1, std::int64_t{512}); }),
              HasSubstr("neither layout has so many"));
  EXPECT_THAT(compressed("int3.g64.sym", [](Members& m) { m["weight_packed"].bytes.pop_back(); }),
              HasSubstr("they do not fit its shape"));
  EXPECT_THAT(compressed("int3.g64.sym",
                         [](Members& m) {
                           m["weight_packed"].shape = {1, 64, 24};
                         }),
              HasSubstr("it has 2 dimensions"));
  EXPECT_THAT(compressed("int3.g64.sym",
                         [](Members& m) {
                           m["weight_scale"].shape = {4, 64};
                         }),
              HasSubstr("[4, 64] instead of [64, 4]"));
  EXPECT_THAT(compressed("int3.g64.sym", [](Members& m) { m["weight_packed"].dtype = DType::float32; }),
              HasSubstr("weight_packed is float32 instead of int32"));
}

TEST(HostileCompressed, ScalesAreNumbersAndPositive) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0F, -1.0F, inf, std::nanf("")}) {
    EXPECT_THAT(compressed("int3.g64.sym", [&](Members& m) { set(m["weight_scale"], 3, bad); }),
                HasSubstr("not positive and finite"));
    EXPECT_THAT(compressed("e2m1.g16.sym.e4m3", [&](Members& m) { set(m["weight_global_scale"], 0, bad); }),
                HasSubstr("weight_global_scale is"));
  }
  EXPECT_THAT(
      compressed("e2m3.g32.sym.e8m0", [](Members& m) { set(m["weight_scale"], 3, std::uint8_t{255}); }),
      HasSubstr("not positive and finite"));
  for (const int bad : {0, 0x7F, 0x81}) {
    EXPECT_THAT(compressed("e2m1.g16.sym.e4m3",
                           [&](Members& m) { set(m["weight_scale"], 3, static_cast<std::uint8_t>(bad)); }),
                HasSubstr("not positive and finite"));
  }
  EXPECT_THAT(compressed("e4m3.channel.sym", [](Members& m) { set(m["weight"], 7, std::uint8_t{0x7F}); }),
              HasSubstr("it is no number of e4m3"));
}

TEST(HostileCompressed, ALayoutThatCannotBeKnownIsAsked) {
  const PackedTensor packed = sample_weight("int3.channel.sym", 4, 11);
  const CompressedLayer layer = to_compressed_tensors(packed, {WordLayout::words, false, false});
  EXPECT_THAT(
      message_of([&] { from_compressed_tensors(layer.members, layer.spec, layer.format, std::nullopt); }),
      AllOf(HasSubstr("2 words for 11 codes of 3 bits"), HasSubstr("--from compressed-tensors")));
  const PackedTensor back =
      from_compressed_tensors(layer.members, layer.spec, layer.format, WordLayout::words);
  EXPECT_EQ(dequantise(back), dequantise(packed));
}

std::string gptq(const Change& change, GptqClaim claim = {4, 64, false, GptqVersion::v1}) {
  Members members = to_gptq(sample_weight("int4.g64.asym", 64, 256), {}).members;
  change(members);
  return message_of([&] { from_gptq(members, claim); });
}

TEST(HostileGptq, MembersMustFitTheClaim) {
  const Change nothing = [](Members&) {};
  EXPECT_EQ(gptq(nothing), "no error");
  EXPECT_THAT(gptq(nothing, {5, 64, false, GptqVersion::v1}), HasSubstr("bits 5"));
  EXPECT_THAT(gptq(nothing, {8, 64, false, GptqVersion::v1}), HasSubstr("instead of"));
  EXPECT_THAT(gptq(nothing, {4, 100, false, GptqVersion::v1}), HasSubstr("group_size 100"));
  EXPECT_THAT(gptq(nothing, {4, 0, false, GptqVersion::v1}), HasSubstr("group_size 0"));
  EXPECT_THAT(gptq(nothing, {4, -1, false, GptqVersion::v1}), HasSubstr("names several groups"));
  EXPECT_THAT(gptq(nothing, {4, 64, true, GptqVersion::v1}), HasSubstr("sym is true"));
  EXPECT_THAT(gptq([](Members& m) {
                m["qweight"].shape = {16, 128};
                m["qweight"].bytes.resize(16 * 128 * 4);
              }),
              HasSubstr("instead of"));
  EXPECT_THAT(gptq([](Members& m) { set(m["g_idx"], 9, std::int32_t{4}); }), HasSubstr("group index 4"));
  EXPECT_THAT(gptq([](Members& m) { set(m["g_idx"], 9, std::int32_t{-1}); }), HasSubstr("group index -1"));
  EXPECT_THAT(gptq([](Members& m) { set(m["g_idx"], 9, std::int32_t{3}); }), HasSubstr("scattered inputs"));
  EXPECT_THAT(gptq([](Members& m) { set(m["qzeros"], 0, std::uint32_t{0xFFFFFFFFU}); }),
              HasSubstr("readers differ on whether this one is 0"));
  EXPECT_THAT(gptq([](Members& m) { set(m["scales"], 0, std::uint16_t{0x7C00}); }),
              HasSubstr("positive and finite"));
  EXPECT_THAT(gptq([](Members& m) { m.erase("qzeros"); }), HasSubstr("no tensor qzeros"));
}

TEST(HostileAwq, MembersMustFit) {
  const auto awq = [](const Change& change, std::int64_t group_size = 64) {
    Members members = to_awq(sample_weight("int4.g64.asym", 64, 256), {64, false});
    change(members);
    return message_of([&] { from_awq(members, group_size); });
  };
  const Change nothing = [](Members&) {};
  EXPECT_EQ(awq(nothing), "no error");
  EXPECT_THAT(awq(nothing, 100), HasSubstr("group_size 100"));
  EXPECT_THAT(awq(nothing, 0), HasSubstr("group_size 0"));
  EXPECT_THAT(awq(nothing, -1), HasSubstr("instead of"));
  EXPECT_THAT(awq([](Members& m) { m["g_idx"] = m["qzeros"]; }), HasSubstr("g_idx is not known"));
  EXPECT_THAT(awq([](Members& m) { m["qweight"].shape = {256, 8, 1}; }), HasSubstr("2 dimensions"));
}

TEST(HostileGguf, BlocksMustFit) {
  const GgufWeight good = to_gguf(sample_weight("int4.g64.sym", 4, 64), false);
  const auto gguf = [&](std::int64_t out, std::int64_t in, std::size_t size,
                        BlockType type = BlockType::q4_0) {
    std::vector<std::byte> bytes = good.bytes;
    bytes.resize(size);
    return message_of([&] { from_gguf({type, out, in, bytes, std::nullopt, 0}); });
  };
  const std::size_t size = good.bytes.size();
  EXPECT_EQ(gguf(4, 64, size), "no error");
  EXPECT_THAT(gguf(4, 48, size), HasSubstr("whole blocks of 32"));
  EXPECT_THAT(gguf(0, 64, size), HasSubstr("0 x 64"));
  EXPECT_THAT(gguf(5, 64, size), HasSubstr("another size"));
  EXPECT_THAT(gguf(4, 64, size - 1), HasSubstr("another size"));
  EXPECT_THAT(gguf(std::int64_t{1} << 31, std::int64_t{1} << 31, size), HasSubstr("another size"));
  std::vector<std::byte> bytes = good.bytes;
  bytes[1] = std::byte{0x7C};
  bytes[0] = std::byte{0};  // infinity
  EXPECT_THAT(message_of([&] {
                from_gguf({BlockType::q4_0, 4, 64, bytes, std::nullopt, 0});
              }),
              HasSubstr("not finite"));
}

TEST(ForeignGguf, NegativeAndZeroScalesKeepTheWeights) {
  GgufWeight weight = to_gguf(sample_weight("int4.g32.sym", 1, 96), false);
  weight.bytes[1] ^= std::byte{0x80};                  // the first block turns round
  weight.bytes[18] = weight.bytes[19] = std::byte{0};  // the second is zero
  const PackedTensor packed = from_gguf({BlockType::q4_0, 1, 96, weight.bytes, std::nullopt, 0});
  std::vector<float> wanted = dequantise(sample_weight("int4.g32.sym", 1, 96));
  for (std::size_t i = 0; i < 64; ++i) {
    wanted[i] = i < 32 ? -wanted[i] : 0.0F;
  }
  EXPECT_EQ(dequantise(packed), wanted);
  EXPECT_EQ(packed.spec.to_string(), "int4.g32.asym");
}

Json config_with(const std::string& key, const Json& value) {
  std::map<std::string, CompressedScheme> layers;
  layers["a.b"].weights = QuantSpec::parse("int4.g64.sym.float32");
  const Json config = compressed_config(layers, {"head"}, WordLayout::dense);
  Json::Object members = *config.object();
  for (auto& [name, member] : members) {
    if (name == key) {
      member = value;
      return members;
    }
  }
  members.emplace_back(key, value);
  return members;
}

TEST(CompressedConfig, SaysWhichLayerHasWhichNumbers) {
  const CompressedConfig config(config_with("x", 1), "c");
  EXPECT_EQ(config.scheme_of("a.b").weights.to_string(), "int4.g64.sym.float32");
  EXPECT_EQ(config.layout(), WordLayout::dense);
  EXPECT_THAT(message_of([&] { config.scheme_of("a.c"); }), HasSubstr("layer a.c belongs to no group"));
  EXPECT_THAT(message_of([&] { config.scheme_of("head"); }),
              HasSubstr("layer head is ignored, but holds codes"));
}

TEST(CompressedConfig, TargetsAreNamesPatternsAndLinear) {
  const auto parse = [](const std::string& targets) {
    const std::string text =
        R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "version": "0.12.1",
      "config_groups": {"group_0": {"targets": )" +
        targets + R"(, "weights": {"num_bits": 3, "group_size": 128}},
                        "group_1": {"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "channel"}}}})";
    return CompressedConfig(Json::parse(text, "c"), "c");
  };
  const CompressedConfig config = parse(R"(["re:.*fc2$", "m.fc1"])");
  EXPECT_EQ(config.scheme_of("m.fc2").weights.to_string(), "int3.g128.sym.float32");
  EXPECT_EQ(config.scheme_of("m.fc1").weights.to_string(), "int3.g128.sym.float32");
  EXPECT_EQ(config.scheme_of("m.proj").weights.to_string(), "int8.channel.sym.float32");
  EXPECT_EQ(config.layout(), WordLayout::words);
  EXPECT_THAT(message_of([&] { parse(R"(["Linear"])").scheme_of("m.fc1"); }), HasSubstr("several groups"));
  EXPECT_THAT(message_of([&] { parse(R"([3])"); }), HasSubstr("a target that is no text"));
}

TEST(CompressedConfig, WhatIsNotReadIsRefused) {
  const auto message = [](const std::string& key, const Json& value) {
    return message_of([&] { CompressedConfig(config_with(key, value), "c"); });
  };
  EXPECT_THAT(message("quant_method", "fp8"), HasSubstr("quant_method is not compressed-tensors"));
  EXPECT_THAT(message("kv_cache_scheme", Json::Object{{"num_bits", 8}}), HasSubstr("a quantised cache"));
  EXPECT_THAT(message("sparsity_config", Json::Object{{"format", "sparse-24-bitmask"}}),
              HasSubstr("sparsity_config"));
  EXPECT_THAT(message("config_groups", 3), HasSubstr("no config_groups"));
  EXPECT_THAT(message("config_groups", Json::Object{{"g", Json::Object{{"targets", Json::Array{"a"}}}}}),
              HasSubstr("no targets or no weights"));
  const auto weights = [&](Json::Object args) {
    return message(
        "config_groups",
        Json::Object{{"g", Json::Object{{"targets", Json::Array{"a"}}, {"weights", std::move(args)}}}});
  };
  EXPECT_THAT(weights({{"num_bits", 9}}), HasSubstr("num_bits is 9"));
  EXPECT_THAT(weights({{"num_bits", "4"}}), HasSubstr("num_bits is no integer"));
  EXPECT_THAT(weights({{"symmetric", 1}}), HasSubstr("symmetric is neither true nor false"));
  EXPECT_THAT(weights({{"type", "posit"}}), HasSubstr("type 'posit'"));
  EXPECT_THAT(weights({{"strategy", "attn_head"}}), HasSubstr("strategy 'attn_head'"));
  EXPECT_THAT(weights({{"strategy", "group"}}), HasSubstr("group_size"));
  EXPECT_THAT(weights({{"strategy", "block"}, {"block_structure", Json::Array{0, 128}}}), HasSubstr("block"));
  EXPECT_THAT(weights({{"dynamic", true}}), HasSubstr("dynamic weights"));
}

TEST(GptqConfig, DynamicPatternsDecideInOrder) {
  const auto parse = [](const std::string& text) { return GptqConfig(Json::parse(text, "c"), "c"); };
  const GptqConfig config =
      parse(R"({"bits": 4, "group_size": 128, "sym": true, "checkpoint_format": "gptq_v2",
      "dynamic": {"+:^a\\.b$": {"bits": 8}, "-:.*skip.*": {}, ".*c": {"group_size": 32, "sym": false}}})");
  EXPECT_EQ(config.claim_of("a.b").bits, 8);
  EXPECT_EQ(config.claim_of("a.bc").group_size, 32);
  EXPECT_FALSE(config.claim_of("a.bc").symmetric);
  EXPECT_EQ(config.claim_of("x").bits, 4);
  EXPECT_EQ(config.claim_of("x").version, GptqVersion::v2);
  EXPECT_THAT(message_of([&] { config.claim_of("skip.me"); }), HasSubstr("left out under dynamic"));
  EXPECT_THAT(message_of([&] { parse(R"({"bits": "four"})"); }), HasSubstr("bits is no integer"));
  EXPECT_THAT(message_of([&] { parse(R"({"checkpoint_format": "marlin"})"); }),
              HasSubstr("neither gptq nor"));
  EXPECT_THAT(message_of([&] { parse(R"({"quant_method": "awq"})"); }),
              HasSubstr("quant_method is not gptq"));
  EXPECT_THAT(message_of([&] { parse("[]"); }), HasSubstr("c: quant_method"));
}

}  // namespace
}  // namespace bitlaw::quant
