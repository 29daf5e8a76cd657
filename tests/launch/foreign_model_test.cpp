// Models of others are recognised by names and first bytes, and the command that reads them is named.
#include "launch/foreign_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "quant/containers/container.h"
#include "tests/quant/containers/sample_weights.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::launch {
namespace {

using quant::Container;
using testing::HasSubstr;

void write(const std::filesystem::path& folder, Container container) {
  quant::PackedModel model;
  model.weights.emplace("fc1", tests::sample_weight("int4.g64.sym", 64, 128));
  quant::write_model(folder, model, {container, true});
}

std::string container_of(const std::filesystem::path& path) {
  const auto found = foreign_model(path);
  return found ? found->container : "none";
}

TEST(ForeignModel, ContainersByTheirFolderAndTheirFile) {
  for (const auto& [container, name] : {std::pair{Container::gptq, "gptq"}, std::pair{Container::awq, "awq"},
                                        std::pair{Container::compressed_tensors, "compressed-tensors"}}) {
    test::TemporaryFolder folder;
    write(folder.path(), container);
    EXPECT_EQ(container_of(folder.path()), name);
    EXPECT_EQ(container_of(folder / "model.safetensors"), name);
    const auto found = foreign_model(folder / "model.safetensors");
    EXPECT_THAT(found->remedy(),
                HasSubstr("bitlaw convert " + folder.path().string() + " --to native --out DIR"));
    EXPECT_EQ(found->noun(), std::string("a model in ") + name);
  }
  test::TemporaryFolder folder;
  write(folder.path(), Container::gguf);
  EXPECT_EQ(container_of(folder.path()), "gguf");
  EXPECT_THAT(foreign_model(folder / "model.gguf")->remedy(), HasSubstr("model.gguf --to native"));
}

TEST(ForeignModel, ConfigurationsThatSayLittle) {
  test::TemporaryFolder folder;
  std::ofstream(folder / "model.safetensors") << "x";
  EXPECT_EQ(container_of(folder.path()), "");
  EXPECT_THAT(foreign_model(folder.path())->remedy(), HasSubstr("model.safetensors --model NAME --out DIR"));
  for (const char* text : {"[", "[1]", "{}", R"({"quantization_config": 3})"}) {
    std::ofstream(folder / "config.json") << text;
    EXPECT_EQ(container_of(folder.path()), "") << text;
  }
  std::ofstream(folder / "config.json") << R"({"quantization_config": {}})";
  EXPECT_EQ(container_of(folder.path()), "unknown");
  std::filesystem::remove(folder / "config.json");
  std::ofstream(folder / "quantize_config.json") << "{}";
  EXPECT_EQ(container_of(folder.path()), "gptq");
}

TEST(ForeignModel, OursAndNothingAreNone) {
  test::TemporaryFolder folder;
  EXPECT_EQ(container_of(folder.path()), "none");
  EXPECT_EQ(container_of(folder / "nowhere"), "none");
  std::ofstream(folder / "text.pth") << "P";
  EXPECT_EQ(container_of(folder / "text.pth"), "none");
  std::ofstream(folder / "weights.pth") << "PK and more";
  EXPECT_EQ(container_of(folder / "weights.pth"), "");
  write(folder.path(), Container::native);
  EXPECT_EQ(container_of(folder.path()), "none");
  EXPECT_EQ(container_of(folder / "model.h5"), "none");
}

TEST(ForeignModel, NamesOfCodes) {
  for (const char* name : {"fc1.qweight", "fc1.qzeros", "fc1.weight_packed", "fc1.weight_scale"}) {
    EXPECT_TRUE(is_name_of_codes(name)) << name;
  }
  for (const char* name : {"fc1.weight", "fc1.bias", "qweight_of.weight", "scale"}) {
    EXPECT_FALSE(is_name_of_codes(name)) << name;
  }
}

}  // namespace
}  // namespace bitlaw::launch
