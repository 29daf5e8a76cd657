// Folders that hold more than one model, or the rest of another: refused, never guessed.
#include "quant/containers/container_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/quant/containers/sample_weights.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

PackedModel model_of(const std::string& spec) {
  PackedModel model;
  model.weights.emplace("blocks.0.fc1", bitlaw::tests::sample_weight(spec, 64, 256));
  return model;
}

TEST(ContainerFolder, FileNamesAreThoseThatAreWritten) {
  for (const Container container :
       {Container::native, Container::compressed_tensors, Container::compressed_tensors_0_17, Container::gptq,
        Container::gptq_v2, Container::awq, Container::gguf}) {
    test::TemporaryFolder folder;
    std::vector<std::string> written;
    for (const auto& file : write_model(folder.path(), model_of("int4.g64.sym"), {container, true})) {
      written.push_back(file.filename().string());
    }
    EXPECT_THAT(file_names(container), UnorderedElementsAreArray(written));
    EXPECT_THAT(model_files(folder.path()), UnorderedElementsAreArray(written));
    EXPECT_EQ(read_model(folder.path()), model_of("int4.g64.sym"));
  }
}

TEST(ContainerFolder, OtherFilesAreNotOfModels) {
  test::TemporaryFolder folder;
  EXPECT_TRUE(model_files(folder / "nowhere").empty());
  for (const char* name :
       {"tokenizer.h5", "notes.txt", "model.safetensors.unproved", "generation_config.json"}) {
    std::ofstream(folder / name) << "x";
  }
  EXPECT_TRUE(model_files(folder.path()).empty());
}

TEST(ContainerFolder, SeveralContainersAreRefusedUnlessOneIsNamed) {
  test::TemporaryFolder folder;
  const PackedModel first = model_of("int4.g64.sym"), second = model_of("int4.g32.sym");
  write_model(folder.path(), first, {Container::native, false});
  write_model(folder.path(), second, {Container::gptq, false});
  EXPECT_THAT(message_of([&] { read_model(folder.path()); }),
              AllOf(HasSubstr("holds model.h5 and model.safetensors"), HasSubstr("--from")));
  EXPECT_EQ(read_model(folder.path(), Container::native), first);
  EXPECT_EQ(read_model(folder.path(), Container::gptq), second);
  EXPECT_EQ(read_model(folder / "model.h5"), first);
  std::filesystem::remove(folder / "model.h5");
  write_model(folder.path(), model_of("int4.g32.sym"), {Container::gguf, true});
  EXPECT_THAT(message_of([&] { read_model(folder.path()); }),
              HasSubstr("holds model.gguf and model.safetensors"));
}

TEST(ContainerFolder, AStaleConfigurationIsNotBelieved) {
  test::TemporaryFolder folder;
  write_model(folder.path(), model_of("int4.g64.sym"), {Container::gptq, false});
  write_model(folder.path(), model_of("int4.g32.asym"), {Container::awq, false});
  EXPECT_THAT(
      message_of([&] { read_model(folder.path()); }),
      AllOf(HasSubstr("quantize_config.json beside"), HasSubstr("quant_method 'awq'"), HasSubstr("stale")));
  EXPECT_EQ(read_model(folder.path(), Container::awq), model_of("int4.g32.asym"));
  std::filesystem::remove(folder / "quantize_config.json");
  EXPECT_EQ(read_model(folder.path()), model_of("int4.g32.asym"));
}

TEST(ContainerFolder, AGptqConfigurationAloneIsEnough) {
  test::TemporaryFolder folder;
  write_model(folder.path(), model_of("int4.g64.sym"), {Container::gptq, false});
  std::filesystem::remove(folder / "config.json");
  EXPECT_EQ(read_model(folder.path()), model_of("int4.g64.sym"));
  std::ofstream(folder / "config.json") << R"({"architectures": ["X"]})";
  EXPECT_EQ(read_model(folder.path()), model_of("int4.g64.sym"));
}

}  // namespace
}  // namespace bitlaw::quant
