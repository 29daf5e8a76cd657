// The native file: a model comes back equal, and the file holds what the documentation says.
#include "quant/containers/native.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"
#include "tests/quant/some_weight.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::InputError;
using data::TensorFile;
using testing::HasSubstr;

data::RawTensor some_tensor(DType dtype, std::vector<std::int64_t> shape) {
  data::TensorInfo info{"", dtype, shape, 0};
  data::RawTensor raw{dtype, std::move(shape), std::vector<std::byte>(info.byte_count())};
  for (std::size_t i = 0; i < raw.bytes.size(); ++i) {
    raw.bytes[i] = static_cast<std::byte>(i * 37);
  }
  return raw;
}

PackedModel some_model() {
  PackedModel model;
  model.weights.emplace("blocks.0.attn.mat_qkv", some_weight(QuantSpec::parse("int3.g8.sym")));
  model.weights.emplace("blocks.0.ffn.fc1", some_weight(QuantSpec::parse("int4.channel.asym")));
  model.activations.emplace("blocks.0.ffn.fc1", QuantSpec::parse("int8.token.sym.bfloat16"));
  model.tensors.emplace("head.bias", some_tensor(DType::bfloat16, {17}));
  model.tensors.emplace("class_emb.weight", some_tensor(DType::float32, {3, 4}));
  model.attributes = {
      {"config", "model: {family: var}\n"}, {"model_bits", "1234"}, {"source", "{\"step\": 7}"}};
  return model;
}

TEST(Native, ModelComesBackEqual) {
  test::TemporaryFolder folder;
  const PackedModel model = some_model();
  write_native(folder / "model.h5", model);
  EXPECT_EQ(read_native(folder / "model.h5"), model);
  write_native(folder / "empty.h5", {});
  EXPECT_EQ(read_native(folder / "empty.h5"), PackedModel{});
}

TEST(Native, EverySpecComesBackWithItsWeightsToTheBit) {
  test::TemporaryFolder folder;
  PackedModel model;
  for (const char* strategy : {"tensor", "channel", "g8"}) {
    for (const char* kind : {".sym", ".asym"}) {
      for (const char* type : {"", ".bfloat16", ".float32"}) {
        for (int bits = 2; bits <= 8; ++bits) {
          const std::string text = "int" + std::to_string(bits) + "." + strategy + kind + type;
          model.weights.emplace(text, some_weight(QuantSpec::parse(text)));
        }
      }
    }
  }
  model.weights.emplace("half", some_weight(QuantSpec::parse("int2h.g8.sym")));
  write_native(folder / "model.h5", model);
  const PackedModel back = read_native(folder / "model.h5");
  ASSERT_EQ(back, model);
  for (const auto& [name, weight] : back.weights) {
    EXPECT_EQ(dequantise(weight), dequantise(model.weights.at(name))) << name;
  }
}

TEST(Native, ScalesOfEveryMagnitudeComeBack) {
  test::TemporaryFolder folder;
  for (const char* text : {"int4.g1.sym", "int4.g1.sym.bfloat16", "int4.g1.sym.float32"}) {
    PackedModel model;
    PackedTensor weight = some_weight(QuantSpec::parse(text));
    const ScaleType type = weight.spec.fields().scale_dtype;
    for (std::size_t i = 0; i < weight.scale.size(); ++i) {
      const int exponent = static_cast<int>(i) % 40 - 24;  // subnormal to largest in float16
      weight.scale[i] = round_to(std::ldexp(1.0F + 0.9F * static_cast<float>(i) / 144.0F, exponent), type);
    }
    model.weights.emplace("w", weight);
    write_native(folder / "model.h5", model);
    EXPECT_EQ(read_native(folder / "model.h5"), model) << text;
  }
}

TEST(Native, FileHoldsWhatTheDocumentationSays) {
  test::TemporaryFolder folder;
  write_native(folder / "model.h5", some_model());
  const TensorFile file = TensorFile::open(folder / "model.h5");
  EXPECT_EQ(file.text("", "format"), "bitlaw-model");
  EXPECT_EQ(file.integer("", "version"), 1);
  EXPECT_EQ(file.integer("", "model_bits"), 1234);
  const std::string group = "weights/blocks.0.ffn.fc1";
  EXPECT_EQ(file.integer(group, "num_bits"), 4);
  EXPECT_EQ(file.text(group, "type"), "int");
  EXPECT_EQ(file.integer(group, "symmetric"), 0);
  EXPECT_EQ(file.text(group, "grid"), "integer");
  EXPECT_EQ(file.text(group, "strategy"), "channel");
  EXPECT_EQ(file.integer(group, "group_size"), 0);
  EXPECT_THAT(file.integers(group, "shape"), testing::ElementsAre(6, 24));
  EXPECT_EQ(file.info(group + "/codes").dtype, DType::uint32);
  EXPECT_THAT(file.info(group + "/codes").shape, testing::ElementsAre(6, 3));
  EXPECT_EQ(file.info(group + "/scale").dtype, DType::float16);
  EXPECT_THAT(file.info(group + "/scale").shape, testing::ElementsAre(6, 1));
  EXPECT_EQ(file.info(group + "/zero_point").dtype, DType::int8);
  EXPECT_EQ(file.text("activations/blocks.0.ffn.fc1", "scale_dtype"), "bfloat16");
  EXPECT_EQ(file.info("tensors/head.bias").dtype, DType::bfloat16);
}

TEST(Native, WhatHasNoNativeFormLeavesNothing) {
  test::TemporaryFolder folder;
  PackedModel model = some_model();
  model.attributes["model_bits"] = "many";
  EXPECT_THROW(write_native(folder / "model.h5", model), std::invalid_argument);
  model = some_model();
  model.attributes["author"] = "me";
  EXPECT_THROW(write_native(folder / "model.h5", model), std::invalid_argument);
  model = some_model();
  model.weights.at("blocks.0.ffn.fc1").scale[1] = 0.1F;  // not a float16
  EXPECT_THROW(write_native(folder / "model.h5", model), std::invalid_argument);
  model = some_model();
  model.weights.at("blocks.0.ffn.fc1").scale[1] = 0.0F;
  EXPECT_THROW(write_native(folder / "model.h5", model), InputError);
  model = some_model();
  model.weights.at("blocks.0.ffn.fc1").codes.pop_back();
  EXPECT_THROW(write_native(folder / "model.h5", model), InputError);
  EXPECT_TRUE(folder.is_empty());
}

}  // namespace
}  // namespace bitlaw::quant
