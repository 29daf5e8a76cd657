// Inputs in files: static scales and dynamic groups come back equal from the containers that hold them; the
// others refuse with the reason; nothing that somebody else wrote is believed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>

#include "data/formats/tensor_file.h"
#include "quant/containers/compressed_tensors.h"
#include "quant/containers/container.h"
#include "tests/quant/containers/sample_inputs.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::TensorFile;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using tests::compressed_folder;
using tests::input_of;
using tests::model_of;

PackedModel there_and_back(const PackedModel& model, Container container) {
  test::TemporaryFolder folder;
  write_model(folder.path(), model, {container, false});
  return read_model(folder.path());
}

const std::vector<PackedInput>& common_inputs() {
  static const std::vector<PackedInput> inputs = {input_of("int8.tensor.sym", 0.125F),
                                                  input_of("int8.tensor.asym.float32", 0.1F, -17.0F),
                                                  input_of("int4.tensor.asym.bfloat16", 0.5F, 7.0F),
                                                  input_of("e4m3.tensor.sym.float32", 0.3F),
                                                  input_of("int8.token.sym"),
                                                  input_of("int8.g128.sym.bfloat16"),
                                                  input_of("e4m3.g32.sym.e8m0"),
                                                  input_of("e2m1.g32.sym.e8m0"),
                                                  input_of("e2m3.g32.sym.e8m0")};
  return inputs;
}

TEST(InputFiles, ComeBackEqualFromNativeAndCompressedTensors) {
  const PackedModel model = model_of(common_inputs());
  for (const Container container :
       {Container::native, Container::compressed_tensors, Container::compressed_tensors_0_17}) {
    EXPECT_EQ(there_and_back(model, container), model) << data::enum_name(container);
  }
  const PackedModel native = model_of({input_of("int8.tensor.asym.float16.zp_float16", 0.125F, -3.25F),
                                       input_of("e3m2.tensor.sym", 2.0F), input_of("int8.g32.sym.e8m0"),
                                       input_of("int4h.tensor.sym", 0.5F), input_of("e3m0.g16.sym")});
  EXPECT_EQ(there_and_back(native, Container::native), native);
}

TEST(InputFiles, NativeFilesHaveTheFirstVersionThatDefinesThem) {
  test::TemporaryFolder folder;
  const auto version = [&](const PackedInput& input) {
    write_native(folder / "model.h5", model_of({input}));
    return TensorFile::open(folder / "model.h5").integer("", "version");
  };
  EXPECT_EQ(version(input_of("int8.token.sym")), 1);
  EXPECT_EQ(version(input_of("e4m3.token.sym")), 2);
  EXPECT_EQ(version(input_of("int8.tensor.sym", 0.5F)), 3);
  EXPECT_EQ(version(input_of("int8.g32.sym")), 3);
}

TEST(InputFiles, NativeFileHoldsWhatTheDocumentationSays) {
  test::TemporaryFolder folder;
  write_native(folder / "model.h5",
               model_of({input_of("int8.tensor.asym", 0.5F, -3.0F),
                         input_of("int4.tensor.asym.bfloat16.zp_float16", 0.5F, -2.5F)}));
  const TensorFile file = TensorFile::open(folder / "model.h5");
  const std::string first = "activations/blocks.0.fc1", second = "activations/blocks.1.fc1";
  EXPECT_EQ(file.text(first, "strategy"), "tensor");
  EXPECT_EQ(file.text(first, "scale_dtype"), "float16");
  EXPECT_EQ(file.info(first + "/scale").dtype, DType::float16);
  EXPECT_EQ(file.info(first + "/scale").shape, std::vector<std::int64_t>{1});
  EXPECT_EQ(file.info(first + "/zero_point").dtype, DType::int8);
  EXPECT_EQ(file.info(second + "/scale").dtype, DType::bfloat16);
  EXPECT_EQ(file.info(second + "/zero_point").dtype, DType::float16);
}

TEST(InputFiles, WhatDoesNotFitTogetherIsNotWritten) {
  test::TemporaryFolder folder;
  const auto refusal = [&](const PackedInput& input) {
    return message_of([&] { write_native(folder / "model.h5", model_of({input})); });
  };
  EXPECT_THAT(refusal(input_of("int8.tensor.sym")), HasSubstr("has no scale"));
  EXPECT_THAT(refusal(input_of("int8.tensor.sym", 0.1F)), HasSubstr("a number of its type"));
  EXPECT_THAT(refusal(input_of("int8.token.sym", 0.5F)), HasSubstr("made at run time"));
  EXPECT_THAT(refusal(input_of("int8.tensor.asym", 0.5F)), HasSubstr("has no zero point"));
  EXPECT_THAT(refusal(input_of("int8.tensor.sym", 0.5F, 0.0F)), HasSubstr("has a zero point"));
  EXPECT_THAT(refusal(input_of("int4.tensor.asym", 0.5F, 9.0F)), HasSubstr("one of the levels"));
  EXPECT_THAT(refusal(input_of("int4.tensor.asym", 0.5F, 0.5F)), HasSubstr("one of the levels"));
  EXPECT_THAT(refusal(input_of("int8.channel.sym")), HasSubstr("belong to weights"));
}

TEST(InputFiles, OthersRefuseStaticScalesAndNameWhatHoldsThem) {
  test::TemporaryFolder folder;
  const PackedModel model = model_of({input_of("int8.tensor.sym", 0.5F)});
  for (const Container container : {Container::gptq, Container::gptq_v2, Container::awq, Container::gguf}) {
    EXPECT_THAT(message_of([&] {
                  write_model(folder.path(), model, {container, false});
                }),
                AllOf(HasSubstr("its input has a static scale (int8.tensor.sym)"),
                      HasSubstr("use format compressed-tensors, which holds it")))
        << data::enum_name(container);
  }
  const auto compressed = [&](const std::string& spec, float scale, std::optional<float> zero_point) {
    return message_of([&] {
      write_model(folder.path(), model_of({input_of(spec, scale, zero_point)}),
                  {Container::compressed_tensors, false});
    });
  };
  EXPECT_THAT(compressed("int8.tensor.asym.float16.zp_float16", 0.5F, 0.5F),
              AllOf(HasSubstr("between two levels"), HasSubstr("format native")));
  EXPECT_THAT(compressed("e3m2.tensor.sym", 0.5F, {}), HasSubstr("MXFP8 (e4m3)"));
  EXPECT_THAT(compressed("int8.g32.sym.e8m0", 0.0F, {}), HasSubstr("MXFP8 (e4m3)"));
  EXPECT_THAT(compressed("e2m1.g16.sym", 0.0F, {}), HasSubstr("MXFP8 (e4m3)"));
}

// The members of "input_activations", as texts without quotes.
using Arguments = std::map<std::string, std::string>;

Arguments input_arguments(const ModelFolder& contents) {
  const std::string& config = contents.configs.at("config.json");
  const std::size_t begin = config.find('{', config.find("\"input_activations\"")) + 1;
  std::istringstream lines(config.substr(begin, config.find('}', begin) - begin));
  Arguments arguments;
  for (std::string line; std::getline(lines, line);) {
    std::erase_if(line, [](char c) { return c == ' ' || c == '"' || c == ','; });
    if (const std::size_t colon = line.find(':'); colon != std::string::npos) {
      arguments[line.substr(0, colon)] = line.substr(colon + 1);
    }
  }
  return arguments;
}

TEST(InputFiles, CompressedTensorsHasThePackagesNames) {
  const ModelFolder contents = compressed_folder(input_of("int8.tensor.asym", 0.5F, -3.0F));
  const data::RawTensor& scale = contents.file.tensors.at("blocks.0.fc1.input_scale");
  EXPECT_EQ(scale.dtype, DType::float32);
  EXPECT_EQ(scale.shape, std::vector<std::int64_t>{1});
  EXPECT_EQ(contents.file.tensors.at("blocks.0.fc1.input_zero_point").dtype, DType::int8);
  EXPECT_EQ(input_arguments(contents), (Arguments{{"num_bits", "8"},
                                                  {"type", "int"},
                                                  {"symmetric", "false"},
                                                  {"strategy", "tensor"},
                                                  {"group_size", "null"},
                                                  {"dynamic", "false"}}));
  EXPECT_EQ(input_arguments(compressed_folder(input_of("e4m3.g32.sym.e8m0"))),
            (Arguments{{"num_bits", "8"},
                       {"type", "float"},
                       {"symmetric", "true"},
                       {"strategy", "group"},
                       {"group_size", "32"},
                       {"dynamic", "true"},
                       {"scale_dtype", "torch.uint8"}}));
}

TEST(InputFiles, SomebodyElsesInputsAreRead) {
  for (const PackedInput& input : common_inputs()) {
    ModelFolder contents = compressed_folder(input);
    contents.file.metadata.clear();
    const PackedInput found = read_compressed_tensors(contents, "x").activations.at("blocks.0.fc1");
    EXPECT_EQ(found.scale, input.scale);
    EXPECT_EQ(found.zero_point, input.zero_point);
    QuantSpecFields fields = input.spec.fields();
    fields.scale_dtype = fields.scale_dtype == ScaleType::e8m0 ? fields.scale_dtype : ScaleType::float32;
    EXPECT_EQ(found.spec.to_string(), QuantSpec(fields).to_string());
  }
  ModelFolder contents = compressed_folder(input_of("e4m3.tensor.sym", 0.5F));
  contents.file.metadata.clear();
  contents.file.tensors.at("blocks.0.fc1.input_scale").shape.clear();  // a scalar, and a zero point of zeros
  contents.file.tensors["blocks.0.fc1.input_zero_point"] = {DType::float8_e4m3fn, {1}, {std::byte{0}}};
  EXPECT_EQ(read_compressed_tensors(contents, "x").activations.at("blocks.0.fc1").scale, 0.5F);
}

}  // namespace
}  // namespace bitlaw::quant
