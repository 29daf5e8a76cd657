// Whole models: out to every container and back is the identity; refusals name layer, reason and what holds
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/formats/input_error.h"
#include "quant/containers/awq.h"
#include "quant/containers/compressed_tensors.h"
#include "quant/containers/container.h"
#include "quant/containers/gguf.h"
#include "quant/containers/gptq.h"
#include "tests/quant/containers/sample_weights.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::RawTensor;
using testing::AllOf;
using testing::HasSubstr;
using tests::sample_weight;

RawTensor some_tensor(DType dtype, std::vector<std::int64_t> shape) {
  RawTensor raw{dtype, shape, std::vector<std::byte>(*data::byte_count(dtype, shape))};
  for (std::size_t i = 0; i < raw.bytes.size(); ++i) {
    raw.bytes[i] = static_cast<std::byte>(i * 37);
  }
  return raw;
}

PackedModel with_layers(const std::vector<std::string>& specs) {
  PackedModel model;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    model.weights.emplace("blocks." + std::to_string(i) + ".fc1", sample_weight(specs[i], 64, 256));
    model.tensors.emplace("blocks." + std::to_string(i) + ".fc1.bias", some_tensor(DType::bfloat16, {64}));
  }
  model.activations.emplace("blocks.0.fc1", QuantSpec::parse("int8.token.sym.bfloat16"));
  model.tensors.emplace("head.weight", some_tensor(DType::bfloat16, {17, 32}));
  model.tensors.emplace("conv.weight", some_tensor(DType::float32, {4, 3, 3, 3}));
  model.tensors.emplace("codebook.usage", some_tensor(DType::int64, {5}));
  model.tensors.emplace("mask", some_tensor(DType::uint8, {2, 3}));
  model.tensors.emplace("steps", some_tensor(DType::float32, {}));
  model.attributes = {
      {"config", "model: {family: var}\n"}, {"model_bits", "12345"}, {"source", "{\"step\": 7}"}};
  return model;
}

PackedModel there_and_back(const PackedModel& model, Container container, bool widen) {
  test::TemporaryFolder folder;
  write_model(folder.path(), model, {container, widen});
  return read_model(folder.path());
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ContainerModel, ComesBackEqualFromEveryContainer) {
  const PackedModel integers =
      with_layers({"int4.g64.sym", "int4.g32.asym", "int4.channel.sym", "int4.tensor.sym"});
  const PackedModel narrow =
      with_layers({"int2h.g64.sym", "int3.g64.sym", "int3.channel.asym", "ternary.g64.sym"});
  for (const Container container :
       {Container::native, Container::compressed_tensors, Container::compressed_tensors_0_17, Container::gptq,
        Container::gptq_v2, Container::awq, Container::gguf}) {
    EXPECT_EQ(there_and_back(integers, container, container == Container::gguf), integers)
        << data::enum_name(container);
    if (container != Container::native) {
      EXPECT_EQ(there_and_back(narrow, container, true), narrow) << data::enum_name(container);
    }
  }
}

TEST(ContainerModel, FloatsComeBackEqualFromTheirContainers) {
  const PackedModel blocks = with_layers({"e2m1.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "int8.g64.sym"});
  EXPECT_EQ(there_and_back(blocks, Container::gguf, false), blocks);
  const PackedModel floats =
      with_layers({"e2m1.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "e2m3.g32.sym.e8m0", "e4m3.g32.sym.e8m0",
                   "e4m3.channel.sym.float32", "int8.channel.sym"});
  EXPECT_EQ(there_and_back(floats, Container::compressed_tensors, false), floats);
}

TEST(ContainerModel, ScatteredGroupsComeBackEqual) {
  PackedModel model = with_layers({"int4.g64.sym", "int3.g64.sym"});
  model.activations.clear();
  for (auto& [module, packed] : model.weights) {
    packed = tests::scattered(packed);
  }
  for (const Container container :
       {Container::gptq, Container::gptq_v2, Container::compressed_tensors_0_17}) {
    EXPECT_EQ(there_and_back(model, container, false), model) << data::enum_name(container);
  }
}

TEST(ContainerModel, RefusalNamesLayerReasonAndWhatHoldsIt) {
  test::TemporaryFolder folder;
  const auto refusal = [&](const std::string& spec, Container container) {
    return message_of([&] { write_model(folder.path(), with_layers({spec}), {container, false}); });
  };
  EXPECT_THAT(refusal("int2h.g64.sym", Container::gptq),
              AllOf(HasSubstr("layer blocks.0.fc1 (int2h.g64.sym) has no exact form in gptq"),
                    HasSubstr("lie between the integers"), HasSubstr("use format gptq with --widen")));
  EXPECT_THAT(refusal("int5.g64.sym", Container::awq), HasSubstr("use format compressed-tensors, which"));
  EXPECT_THAT(refusal("int4.g64.sym.float32", Container::gptq),
              AllOf(HasSubstr("is not exact in float16"), HasSubstr("use format compressed-tensors, which")));
  EXPECT_THAT(refusal("nf4.g64.sym", Container::gguf), HasSubstr("use format native"));
  EXPECT_THAT(refusal("int4.g64.asym", Container::gguf), HasSubstr("use format gguf with --widen"));
  EXPECT_TRUE(folder.is_empty());
}

TEST(ContainerModel, ZeroOfZeroLeadsToVersion2) {
  test::TemporaryFolder folder;
  PackedModel model = with_layers({"int4.g64.asym"});
  model.weights.at("blocks.0.fc1").zero_point[0] = -8;
  EXPECT_THAT(message_of([&] {
                write_model(folder.path(), model, {Container::gptq, false});
              }),
              AllOf(HasSubstr("would wrap round"), HasSubstr("use format gptq-v2, which")));
}

TEST(ContainerModel, WhatAFileOfOthersClaimsIsCheckedBeforeItIsWritten) {
  test::TemporaryFolder folder;
  const auto refusal = [&](const std::function<void(PackedModel&)>& change, Container container) {
    PackedModel model = with_layers({"int4.g64.sym"});
    change(model);
    return message_of([&] { write_model(folder.path(), model, {container, false}); });
  };
  const auto slash = [](PackedModel& m) { m.tensors["a/b"] = some_tensor(DType::float32, {2}); };
  EXPECT_THAT(refusal(slash, Container::native), HasSubstr("'a/b' holds a '/'"));
  EXPECT_EQ(refusal(slash, Container::gptq), "no error");
  EXPECT_THAT(
      refusal([](PackedModel& m) { m.tensors["../x"] = some_tensor(DType::float32, {2}); }, Container::gptq),
      HasSubstr("'../x'"));
  EXPECT_THAT(
      refusal([](PackedModel& m) { m.tensors["c"] = some_tensor(DType::complex64, {2}); }, Container::native),
      HasSubstr("the native file holds no such type"));
  EXPECT_THAT(refusal([](PackedModel& m) { m.attributes["model_bits"] = "many"; }, Container::native),
              HasSubstr("text model_bits is 'many'"));
}

TEST(ContainerModel, UnknownFormatsAreListed) {
  EXPECT_THAT(
      message_of([] { container_named("ggml"); }),
      AllOf(HasSubstr("format 'ggml' is unknown"), HasSubstr("compressed-tensors-0.17, gptq, gptq-v2")));
  EXPECT_EQ(container_named("gptq-v2"), Container::gptq_v2);
}

TEST(ContainerModel, ForeignFilesKeepTheSpecThatTheContainerStates) {
  Refusals refusals;
  ModelFolder contents = make_gptq(with_layers({"int4.g64.sym", "int3.g32.asym"}), {}, refusals);
  ASSERT_TRUE(refusals.empty());
  contents.file.metadata.clear();
  const PackedModel model = read_gptq(contents, "x");
  EXPECT_EQ(model.weights.at("blocks.0.fc1").spec.to_string(), "int4.g64.sym");
  EXPECT_EQ(model.weights.at("blocks.1.fc1").spec.to_string(), "int3.g32.asym");
  contents = make_compressed_tensors(with_layers({"int4.g64.sym", "e4m3.channel.sym"}), WordLayout::dense,
                                     false, refusals);
  contents.file.metadata.clear();
  const PackedModel compressed = read_compressed_tensors(contents, "x");
  EXPECT_EQ(compressed.weights.at("blocks.0.fc1").spec.to_string(), "int4.g64.sym.float32");
  EXPECT_EQ(compressed.activations.at("blocks.0.fc1").spec.to_string(), "int8.token.sym.float32");
}

TEST(ContainerModel, WhatTheTextsSayMustFit) {
  Refusals refusals;
  const ModelFolder good = make_gptq(with_layers({"int4.g64.sym"}), {}, refusals);
  ModelFolder contents = good;
  contents.file.metadata["bitlaw.weights"] = R"({"blocks.0.fc1": "int2.g64.sym"})";
  EXPECT_THAT(message_of([&] { read_gptq(contents, "x"); }),
              HasSubstr("was int2.g64.sym, but holds int4.g64.sym"));
  contents.file.metadata["bitlaw.weights"] = R"({"blocks.0.fc1": "int4.g64.sym", "other": "int4.g64.sym"})";
  EXPECT_THAT(message_of([&] { read_gptq(contents, "x"); }), HasSubstr("layer other is missing"));
  contents.file.metadata["bitlaw.weights"] = "{}";
  EXPECT_THAT(message_of([&] { read_gptq(contents, "x"); }), HasSubstr("does not name it"));
  contents.file.metadata["bitlaw.version"] = "2";
  EXPECT_THAT(message_of([&] { read_gptq(contents, "x"); }), HasSubstr("bitlaw.version is '2'"));
}

TEST(ContainerModel, MoreThanOneSafetensorsFileIsOneModel) {
  test::TemporaryFolder folder;
  const PackedModel model = with_layers({"int4.g64.sym"});
  write_model(folder.path(), model, {Container::gptq, false});
  data::SafetensorsFile all = data::read_safetensors(folder / "model.safetensors");
  std::filesystem::remove(folder / "model.safetensors");
  data::SafetensorsFile part;
  part.tensors.insert(all.tensors.extract("blocks.0.fc1.scales"));
  data::write_safetensors(folder / "model-1.safetensors", part);
  data::write_safetensors(folder / "model-2.safetensors", all);
  EXPECT_EQ(read_model(folder.path()), model);
  data::write_safetensors(folder / "model-3.safetensors", part);
  EXPECT_THAT(message_of([&] { read_model(folder.path()); }), HasSubstr("is in another file too"));
}

}  // namespace
}  // namespace bitlaw::quant
