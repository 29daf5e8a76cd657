// Files that are no import: each is refused with the command that reads it, or with what is read instead.
#include "launch/importable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::launch {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(ImportableFile, ByNameAndFirstBytes) {
  test::TemporaryFolder folder;
  const auto refusal = [&](const char* name) {
    return message_of([&] { require_importable(folder / name); });
  };
  std::filesystem::create_directory(folder / "folder.pth");
  EXPECT_THAT(refusal("folder.pth"), AllOf(HasSubstr("is a folder"), HasSubstr("name a .pth or .pt file")));
  std::ofstream(folder / "blocks.pth") << "GGUF and more";
  EXPECT_THAT(refusal("blocks.pth"), AllOf(HasSubstr("is a model in gguf"), HasSubstr("bitlaw convert ")));
  std::ofstream(folder / "model.h5") << "x";
  EXPECT_THAT(refusal("model.h5"), HasSubstr("is a file of bitlaw itself"));
  std::ofstream(folder / "weights.pth") << "PK and more";
  std::ofstream(folder / "weights.safetensors") << "x";
  for (const char* name : {"weights.pth", "weights.safetensors", "nowhere.pth"}) {
    EXPECT_EQ(refusal(name), "") << name;  // the readers say what is wrong inside
  }
}

TEST(ImportableFile, ByTheNamesOfItsTensors) {
  test::TemporaryFolder folder;
  const auto refusal = [&](const std::string& tensor) {
    const Sections sections = {{"", {{"fc1.bias", {4}}, {tensor, {4, 4}}}}};
    return message_of([&] { require_full_precision(folder / "model.safetensors", sections); });
  };
  std::ofstream(folder / "model.safetensors") << "x";
  EXPECT_EQ(refusal("fc1.weight"), "");
  for (const std::string name : {"fc1.qweight", "fc1.weight_packed", "fc1.weight_scale"}) {
    EXPECT_THAT(refusal(name), AllOf(HasSubstr("is quantised already (it holds " + name + ")"),
                                     HasSubstr("put its config.json beside it")));
  }
  std::ofstream(folder / "config.json") << R"({"quantization_config": {"quant_method": "gptq"}})";
  EXPECT_THAT(refusal("fc1.qweight"), HasSubstr("bitlaw convert " + folder.path().string() + " --to native"));
}

}  // namespace
}  // namespace bitlaw::launch
