// Files that PyTorch itself wrote.
#include "data/formats/torch_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/safetensors.h"
#include "tests/support/memory_file.h"
#include "tests/support/zip_bytes.h"

namespace bitlaw::data {
namespace {

using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string file_of(const std::string& name) {
  return std::string(BITLAW_SOURCE_DIR) + "/tests/data/formats/files/" + name;
}

std::map<std::string, RawTensor> all_of(const TorchArchive& archive) {
  std::map<std::string, RawTensor> tensors;
  for (const auto& [name, entry] : archive.tensors()) {
    tensors.emplace(name, archive.read(name));
  }
  return tensors;
}

class TorchFiles : public testing::TestWithParam<const char*> {};

// The same tensors, made contiguous and written by the safetensors package.
TEST_P(TorchFiles, HoldWhatPyTorchSaved) {
  const TorchArchive archive(file_of(GetParam() + std::string(".pth")));
  const SafetensorsFile expected =
      read_safetensors(file_of(GetParam() + std::string(".expected.safetensors")));
  EXPECT_EQ(expected.metadata.at("format"), "pt");
  const auto found = all_of(archive);
  EXPECT_EQ(found.size(), expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    ASSERT_TRUE(archive.contains(name)) << name;
    EXPECT_TRUE(found.at(name) == tensor) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TorchFiles,
                         testing::Values("plain", "nested", "views", "newer", "protocol4", "tensor"));

TEST(TorchArchive, NamesAreTheKeysOnTheWay) {
  const TorchArchive archive(file_of("nested.pth"));
  std::vector<std::string> names;
  for (const auto& [name, entry] : archive.tensors()) {
    names.push_back(name);
  }
  EXPECT_THAT(names, ElementsAre("args/mean", "ema/head.bias", "ema/head.weight", "list/0", "list/1/x",
                                 "model/head.bias", "model/head.weight", "opt/state/0/exp_avg",
                                 "opt/state/0/exp_avg_sq", "opt/state/0/step", "parameter",
                                 "trainer/var_wo_ddp/head.bias", "trainer/var_wo_ddp/head.weight"));
  EXPECT_THAT(message_of([&] { (void)archive.read("head.bias"); }),
              HasSubstr("tensor 'head.bias' is missing"));
}

TEST(TorchArchive, ViewsShareTheirStorage) {
  const TorchArchive archive(file_of("views.pth"));
  EXPECT_EQ(archive.entry("base").storage, archive.entry("transposed").storage);
  EXPECT_THAT(archive.entry("transposed").shape, ElementsAre(6, 4));
  EXPECT_THAT(archive.entry("transposed").stride, ElementsAre(1, 6));
  EXPECT_EQ(archive.entry("one").offset, 15U);
  EXPECT_THAT(archive.entry("repeated").stride, ElementsAre(1, 0));
}

TEST(TorchArchive, FilesWithoutChecksumsAreRead) {
  const RawTensor tensor = TorchArchive(file_of("without_crc.pth")).read("x");
  EXPECT_EQ(tensor.bytes, TorchArchive(file_of("without_crc.pth")).read("x").bytes);
  EXPECT_EQ(tensor.bytes.size(), 12U);
}

TEST(TorchArchive, OtherFilesAreRefusedByNameWithARemedy) {
  const auto refusal = [](const std::string& name) {
    return message_of([&] { const TorchArchive archive(file_of(name)); });
  };
  EXPECT_THAT(refusal("refused_old.pth"),
              AllOf(HasSubstr("refused_old.pth is in the old format of torch.save"),
                    HasSubstr("torch.save(torch.load(old, map_location='cpu'), new)")));
  EXPECT_THAT(refusal("refused_bare.pth"), HasSubstr("is a bare pickle"));
  EXPECT_THAT(refusal("refused_script.pt"),
              AllOf(HasSubstr("is a TorchScript program"), HasSubstr("state_dict()")));
  EXPECT_THAT(refusal("refused_module.pth"),
              AllOf(HasSubstr("refused_module/data.pkl: byte "),
                    HasSubstr("names 'torch.nn.modules.activation.ReLU', which is not on the list")));
  EXPECT_THAT(refusal("refused_command.pth"),
              AllOf(HasSubstr("names '__builtin__.print'"), HasSubstr("nothing of a file is ever executed")));
  EXPECT_THAT(refusal("plain.expected.safetensors"), HasSubstr("does not begin as a file of torch.save"));
  EXPECT_THAT(refusal("gone.pth"), HasSubstr("gone.pth is missing"));
  const test::MemoryFile tar(std::string(257, 'a') + "ustar" + std::string(300, '\0'));
  EXPECT_THAT(message_of([&] { const TorchArchive archive(tar.path()); }), HasSubstr("a tar archive"));
}

}  // namespace
}  // namespace bitlaw::data
