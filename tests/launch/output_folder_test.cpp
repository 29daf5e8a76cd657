// What commands may write over: a later state of the same run, and nothing else.
#include "launch/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/quant/containers/sample_weights.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"
#include "trainer/config/run_config.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace {

using quant::Container;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

trainer::RunConfig run_named(const std::string& name) {
  trainer::RunConfig config;
  config.run.name = name;
  return config;
}

void write_run(const std::filesystem::path& folder, const std::string& run, Container container) {
  const trainer::RunConfig config = run_named(run);
  quant::PackedModel model;
  model.weights.emplace("fc1", tests::sample_weight("int4.g64.sym", 64, 128));
  model.attributes = {{"config", trainer::write_config(config)}, {"source", "{}"}};
  quant::write_model(folder, model, {container, true});
}

std::string refusal(const test::TemporaryFolder& folder, Container container, const std::string& run) {
  return message_of([&] { refuse_another_model(folder.path(), container, run_named(run)); });
}

TEST(OutputFolder, ALaterStateOfTheRunReplacesTheEarlierOne) {
  for (const Container container :
       {Container::native, Container::compressed_tensors, Container::gptq, Container::awq, Container::gguf}) {
    test::TemporaryFolder folder;
    EXPECT_EQ(refusal(folder, container, "mine"), "");
    write_run(folder.path(), "mine", container);
    EXPECT_EQ(refusal(folder, container, "mine"), "");
    EXPECT_THAT(refusal(folder, container, "other"), HasSubstr("is of run mine, not of other"));
  }
}

// Several run.dir may hold runs of one name: seeds, or widths, of a study.
TEST(OutputFolder, AnotherRunOfTheSameNameStays) {
  test::TemporaryFolder folder;
  write_run(folder.path(), "mine", Container::native);
  trainer::RunConfig other = run_named("mine");
  other.run.dir = "elsewhere";
  const auto refusal_now = [&] {
    return message_of([&] { refuse_another_model(folder.path(), Container::native, other); });
  };
  EXPECT_EQ(refusal_now(), "");
  other.run.seed = run_named("mine").run.seed + 1;
  EXPECT_THAT(refusal_now(), AllOf(HasSubstr("is of another run named mine (run.seed was"),
                                   HasSubstr("name another folder, or remove the file")));
}

TEST(OutputFolder, FilesOfAnotherContainerAreNotJoined) {
  test::TemporaryFolder folder;
  write_run(folder.path(), "mine", Container::gptq);
  EXPECT_THAT(refusal(folder, Container::awq, "mine"),
              AllOf(HasSubstr("--out: "), HasSubstr("quantize_config.json is no file of awq")));
  EXPECT_THAT(refusal(folder, Container::native, "mine"), HasSubstr("is no file of native"));
  EXPECT_THAT(refusal(folder, Container::gguf, "mine"), HasSubstr("is no file of gguf"));
}

TEST(OutputFolder, SomebodyElsesModelIsNotReplaced) {
  test::TemporaryFolder folder;
  std::ofstream(folder / "config.json") << R"({"architectures": ["X"]})";
  EXPECT_THAT(refusal(folder, Container::compressed_tensors, "mine"),
              AllOf(HasSubstr("config.json is of no run that can be read"), HasSubstr("remove the file")));
  EXPECT_THAT(message_of([&] { refuse_any_model(folder.path()); }), HasSubstr("is there already"));
}

TEST(OutputFolder, AFolderWithoutAModelIsFree) {
  test::TemporaryFolder folder;
  std::ofstream(folder / "notes.txt") << "x";
  refuse_any_model(folder.path());
  refuse_any_model(folder / "nowhere");
  for (const Container container : {Container::native, Container::gguf}) {
    EXPECT_EQ(refusal(folder, container, "mine"), "");
  }
  write_run(folder.path(), "mine", Container::native);
  EXPECT_THAT(message_of([&] { refuse_any_model(folder.path()); }), HasSubstr("model.h5 is there already"));
}

TEST(OutputFolder, AnotherRunsTokenizerStays) {
  test::TemporaryFolder folder;
  const auto refusal_for = [&](const std::string& run) {
    return message_of([&] { refuse_another_tokenizer(folder.path(), run_named(run)); });
  };
  EXPECT_EQ(refusal_for("mine"), "");
  write_run(folder.path(), "mine", Container::native);
  std::filesystem::rename(folder / "model.h5", folder / kTokenizerFile);
  EXPECT_EQ(refusal_for("mine"), "");
  EXPECT_THAT(refusal_for("other"), AllOf(HasSubstr("tokenizer.h5 is of run mine, not of other"),
                                          HasSubstr("name another folder, or remove the file")));
  std::ofstream(folder / kTokenizerFile) << "x";
  EXPECT_THAT(refusal_for("mine"), HasSubstr("is of no run that can be read"));
}

// What a command made and did not fill goes; what was there, or is used, stays.
TEST(OutputFolder, ARefusedCommandLeavesNothing) {
  test::TemporaryFolder folder;
  {
    const OutputFolder out(folder / "a" / "b/");
    EXPECT_TRUE(std::filesystem::is_directory(folder / "a" / "b"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  std::filesystem::create_directory(folder / "there");
  { const OutputFolder out(folder / "there"); }
  EXPECT_TRUE(std::filesystem::is_directory(folder / "there"));
  {
    const OutputFolder out(folder / "there" / "deep" / "deeper");
    std::ofstream(folder / "there" / "deep" / "file") << "x";
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "there" / "deep" / "file"));
  EXPECT_FALSE(std::filesystem::exists(folder / "there" / "deep" / "deeper"));
}

TEST(OutputFolder, AFileInTheWayIsSaid) {
  test::TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  for (const char* out : {"file", "file/inside"}) {
    EXPECT_THAT(message_of([&] { OutputFolder{folder / out}; }),
                AllOf(HasSubstr("--out: "), HasSubstr("cannot be made")))
        << out;
  }
}

}  // namespace
}  // namespace bitlaw::launch
