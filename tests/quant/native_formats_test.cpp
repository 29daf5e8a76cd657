// The native file of version 2: every format and every optional member comes back; what does not fit is
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "data/formats/tensor_file.h"
#include "quant/affine.h"
#include "quant/containers/native.h"
#include "quant/levels.h"
#include "tests/quant/support.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::TensorFile;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kOut = 6;
constexpr std::int64_t kIn = 64;

PackedTensor some_weight(const std::string& text) {
  const QuantSpec spec = QuantSpec::parse(text);
  const AffineParameters found =
      find_parameters(normal_values(kOut * kIn, 3), kOut, kIn, spec, ScaleSearch::absmax);
  PackedTensor packed;
  packed.spec = spec;
  packed.out_features = kOut;
  packed.in_features = kIn;
  packed.scale = found.scale;
  packed.zero_point = found.zero_point;
  packed.zero_point_real = found.zero_point_real;
  packed.scale_negative = found.scale_negative;
  packed.global_scale = found.global_scale;
  std::vector<std::uint8_t> codes(kOut * kIn);
  const std::span<const float> levels = levels_of(spec);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::uint8_t>(i * 7 % levels.size());
    codes[i] = std::isnan(levels[codes[i]]) ? std::uint8_t{2} : codes[i];
  }
  return pack(std::move(packed), codes);
}

TEST(NativeFormats, EveryFormatComesBackWithItsWeightsToTheBit) {
  test::TemporaryFolder folder;
  for (const char* text :
       {"e2m1.g32.sym.e8m0", "e2m3.g32.sym.e8m0", "e3m2.g32.sym.e8m0", "e4m3.g32.sym.e8m0",
        "e5m2.g32.sym.e8m0", "int8.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "int4.g16.sym.e4m3", "e1m1.g8.sym",
        "e2m0.g8.asym", "e3m0.channel.asym.float32", "e2m2.tensor.sym.bfloat16", "e3m1.b2x16.sym",
        "nf3.g8.sym", "nf4.g8.asym.bfloat16", "ternary.channel.sym", "int4.g16.asym.float16.zp_float16",
        "int4.b3x32.asym.float32.zp_float16"}) {
    PackedModel model;
    model.weights.emplace("w", some_weight(text));
    write_native(folder / "model.h5", model);
    const PackedModel back = read_native(folder / "model.h5");
    EXPECT_EQ(back, model) << text;
    EXPECT_EQ(bits(dequantise(back.weights.at("w"))), bits(dequantise(model.weights.at("w")))) << text;
    EXPECT_EQ(TensorFile::open(folder / "model.h5").integer("", "version"), 2) << text;
  }
}

TEST(NativeFormats, OptionalMembersComeBack) {
  test::TemporaryFolder folder;
  PackedModel model;
  PackedTensor weight = some_weight("int4.g16.sym");
  for (std::int32_t i = 0; i < kIn; ++i) {
    weight.group_index.push_back(i % 4);
    weight.input_multiplier.push_back(0.5F + static_cast<float>(i));
  }
  weight.hadamard_block = 32;
  model.weights.emplace("w", weight);
  model.activations.emplace("w", QuantSpec::parse("e4m3.token.sym.float32"));
  write_native(folder / "model.h5", model);
  EXPECT_EQ(read_native(folder / "model.h5"), model);
  const TensorFile file = TensorFile::open(folder / "model.h5");
  EXPECT_EQ(file.integer("", "version"), 2);
  EXPECT_EQ(file.integer("weights/w", "hadamard_block"), 32);
  EXPECT_EQ(file.info("weights/w/group_index").dtype, DType::int32);
  EXPECT_EQ(file.info("weights/w/input_transform").dtype, DType::float32);
  EXPECT_EQ(file.text("activations/w", "format"), "e4m3");
}

TEST(NativeFormats, FileHoldsWhatTheDocumentationSays) {
  test::TemporaryFolder folder;
  PackedModel model;
  model.weights.emplace("nv", some_weight("e2m1.g16.sym.e4m3"));
  model.weights.emplace("mx", some_weight("e3m2.g32.sym.e8m0"));
  model.weights.emplace("af", some_weight("nf4.b3x32.asym"));
  write_native(folder / "model.h5", model);
  const TensorFile file = TensorFile::open(folder / "model.h5");
  EXPECT_EQ(file.text("weights/nv", "type"), "float");
  EXPECT_EQ(file.text("weights/nv", "format"), "e2m1");
  EXPECT_EQ(file.text("weights/nv", "scale_dtype"), "e4m3");
  EXPECT_EQ(file.info("weights/nv/scale").dtype, DType::uint8);
  EXPECT_EQ(file.info("weights/nv/global_scale").shape, std::vector<std::int64_t>{1});
  EXPECT_EQ(file.text("weights/mx", "scale_dtype"), "e8m0");
  EXPECT_EQ(file.integers("weights/af", "block_structure"), (std::vector<std::int64_t>{3, 32}));
  EXPECT_EQ(file.info("weights/af/scale_negative").shape, (std::vector<std::int64_t>{2, 2}));
}

// A file of one MXFP8 or NVFP4-like weight, one member of it changed.
std::string message_of(const std::string& text, const std::string& drop,
                       const std::function<void(TensorFile&)>& add) {
  test::TemporaryFolder folder;
  PackedModel model;
  model.weights.emplace("w", some_weight(text));
  write_native(folder / "whole.h5", model);
  const TensorFile whole = TensorFile::open(folder / "whole.h5");
  TensorFile file = TensorFile::create(folder / "changed.h5");
  for (const char* group : {"weights", "activations", "tensors"}) {
    file.put_group(group);
  }
  for (const std::string& name : whole.names()) {
    if (name != "weights/w/" + drop) {
      std::vector<std::byte> bytes(whole.info(name).byte_count());
      whole.read(name, bytes);
      file.put(name, whole.info(name).dtype, whole.info(name).shape, bytes);
    }
  }
  for (const std::string& group : {std::string(), std::string("weights/w")}) {
    for (const std::string& key : whole.attribute_keys(group)) {
      if ((group.empty() ? key : "@" + key) == drop) {
        continue;
      }
      if (whole.has_text(group, key)) {
        file.put_text(group, key, whole.text(group, key));
      } else if (key == "shape" || key == "block_structure") {
        file.put_integers(group, key, whole.integers(group, key));
      } else {
        file.put_integer(group, key, whole.integer(group, key));
      }
    }
  }
  add(file);
  file.commit();
  const std::string message = test::message_of([&] { read_native(folder / "changed.h5"); });
  EXPECT_TRUE(message.empty() || message.find("changed.h5") != std::string::npos) << message;
  return message;
}

template <class T>
std::function<void(TensorFile&)> putting(const std::string& member, DType type,
                                         std::vector<std::int64_t> shape, std::vector<T> values) {
  return [=](TensorFile& file) {
    file.put("weights/w/" + member, type, shape, std::as_bytes(std::span(values)));
  };
}

TEST(NativeFormats, WhatDoesNotFitIsRefused) {
  const auto nothing = [](TensorFile&) {};
  EXPECT_EQ(message_of("e4m3.g32.sym.e8m0", "none", nothing), "");
  EXPECT_THAT(message_of("e4m3.g32.sym.e8m0", "@format", nothing), HasSubstr("'format'"));
  EXPECT_THAT(message_of("e4m3.g32.sym.e8m0", "@scale_dtype", nothing), HasSubstr("'scale_dtype'"));
  EXPECT_THAT(message_of("e2m1.g16.sym.e4m3", "global_scale", nothing),
              HasSubstr("holds no tensor weights/w/global_scale"));
  EXPECT_THAT(message_of("nf4.g16.asym", "scale_negative", nothing),
              HasSubstr("holds no tensor weights/w/scale_negative"));
  EXPECT_THAT(message_of("e4m3.b3x32.sym", "@block_structure", nothing), HasSubstr("'block_structure'"));
  // In version 1 none of this has a meaning.
  const auto first = [](TensorFile& file) { file.put_integer("", "version", 1); };
  EXPECT_THAT(message_of("e4m3.g32.sym", "version", first),
              AllOf(HasSubstr("type 'float'"), HasSubstr("format version 1")));
  EXPECT_THAT(message_of("int8.g32.sym.e8m0", "version", first), HasSubstr("scale is uint8"));
  EXPECT_THAT(message_of("int8.g32.asym.float16.zp_float16", "version", first),
              HasSubstr("zero_point is float16"));
  EXPECT_THAT(message_of("int8.b3x32.sym", "version", first), HasSubstr("strategy 'block'"));
}

TEST(NativeFormats, ValuesThatAreNoNumbersAreRefused) {
  const std::vector<std::int64_t> scales = {6, 2};
  std::vector<std::uint8_t> bytes(12, 127);
  bytes[5] = 255;
  EXPECT_THAT(message_of("e4m3.g32.sym.e8m0", "scale", putting("scale", DType::uint8, scales, bytes)),
              HasSubstr("not positive and finite"));
  std::vector<std::uint32_t> codes(6 * 16, 0);
  codes[9] = 0x7F;  // NaN of e4m3
  EXPECT_THAT(message_of("e4m3.g32.sym.e8m0", "codes", putting("codes", DType::uint32, {6, 16}, codes)),
              HasSubstr("code 127"));
  EXPECT_THAT(message_of("ternary.g32.sym", "codes",
                         putting("codes", DType::uint32, {6, 4}, std::vector<std::uint32_t>(24, 0))),
              HasSubstr("no number of ternary"));
  for (const float bad : {0.0F, -1.0F, INFINITY, NAN}) {
    EXPECT_THAT(message_of("e2m1.g16.sym.e4m3", "global_scale",
                           putting("global_scale", DType::float32, {1}, std::vector{bad})),
                HasSubstr("global scale of"));
    std::vector<float> multiplier(64, 1.0F);
    multiplier[3] = bad == -1.0F ? 0.0F : bad;
    EXPECT_THAT(
        message_of("int4.g16.sym.e4m3", "none", putting("input_transform", DType::float32, {64}, multiplier)),
        HasSubstr("input multiplier"));
  }
  std::vector<std::int32_t> groups(64, 0);
  EXPECT_THAT(message_of("int4.g16.sym.e4m3", "none", putting("group_index", DType::int32, {64}, groups)),
              HasSubstr("a group of 64 scattered inputs"));
  groups[0] = 4;
  EXPECT_THAT(message_of("int4.g16.sym.e4m3", "none", putting("group_index", DType::int32, {64}, groups)),
              HasSubstr("group index 4"));
  EXPECT_THAT(message_of("int4.channel.sym.float32", "none",
                         [](TensorFile& file) { file.put_integer("weights/w", "hadamard_block", 32); }),
              HasSubstr("attribute hadamard_block"));  // a version 1 file
  EXPECT_THAT(message_of("e2m1.g32.sym.e8m0", "none",
                         [](TensorFile& file) { file.put_integer("weights/w", "hadamard_block", 24); }),
              HasSubstr("hadamard_block 24"));
  EXPECT_THAT(message_of("e2m1.g32.sym.e8m0", "none",
                         putting("global_scale", DType::float32, {1}, std::vector{1.0F})),
              HasSubstr("global_scale of e2m1"));
}

}  // namespace
}  // namespace bitlaw::quant
