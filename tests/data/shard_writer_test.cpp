#include "data/shard_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "tests/data/shard_samples.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(ShardWriter, LeavesShardsAndManifestOnly) {
  const test::TemporaryFolder folder;
  const ShardManifest manifest = test::write_dataset(folder / "a/b/data", test::token_description(11), 5);
  EXPECT_THAT(names_in(folder / "a/b"), testing::ElementsAre("data"));
  EXPECT_THAT(names_in(folder / "a/b/data"),
              testing::ElementsAre("manifest.json", "shard-00000.h5", "shard-00001.h5", "shard-00002.h5"));
  ASSERT_EQ(manifest.shards.size(), 3U);
  EXPECT_EQ(manifest.shards[2].samples, 1);
  EXPECT_EQ(static_cast<std::uintmax_t>(manifest.shards[1].bytes),
            fs::file_size(folder / "a/b/data/shard-00001.h5"));
}

TEST(ShardWriter, TheFolderMayEndWithASlash) {
  const test::TemporaryFolder folder;
  test::write_dataset(folder / "data/", test::token_description(3), 5);
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("data"));
}

TEST(ShardWriter, ContentHashIsOfSamplesNotOfFiles) {
  const test::TemporaryFolder folder;
  const auto hash = [&](const char* name, const ShardManifest& description, std::int64_t per_shard) {
    return test::write_dataset(folder / name, description, per_shard).content_hash;
  };
  const ShardManifest description = test::token_description(23);
  const std::string content = hash("1", description, 5);
  EXPECT_EQ(content.size(), 32U);
  EXPECT_EQ(hash("2", description, 23), content);
  EXPECT_EQ(hash("3", description, 1), content);
  ShardManifest other = description;
  other.source = "elsewhere";
  EXPECT_EQ(hash("4", other, 5), content);
  other.tokenizer_hash = "another";
  EXPECT_NE(hash("5", other, 5), content);
  other = description;
  other.num_classes = 8;
  EXPECT_NE(hash("6", other, 5), content);
  EXPECT_NE(hash("7", test::token_description(22), 5), content);
}

TEST(ShardWriter, ContentHashSeesOrderAndLabels) {
  const test::TemporaryFolder folder;
  const auto hash = [&](const char* name, std::string tokens, std::vector<std::int32_t> labels) {
    ShardWriter writer(folder / name, test::token_description(2), 2);
    writer.write(0, std::as_bytes(std::span(tokens)), labels);
    return writer.commit().content_hash;
  };
  const std::string first = "\1\2\3\4\5";
  const std::string second = "\6\7\x8\x9\xA";
  const std::string content = hash("1", first + second, {1, 2});
  EXPECT_EQ(hash("2", first + second, {1, 2}), content);
  EXPECT_NE(hash("3", second + first, {1, 2}), content);
  EXPECT_NE(hash("4", first + second, {2, 1}), content);
  EXPECT_NE(hash("5", second + first, {2, 1}), content);
}

TEST(ShardWriter, AnotherRankWritesIntoTheSameFolder) {
  const test::TemporaryFolder folder;
  const ShardManifest description = test::token_description(11);
  const std::string alone = test::write_dataset(folder / "alone", description, 4).content_hash;
  ShardWriter owner(folder / "shared", description, 4);
  const ShardWriter other(folder / "shared", description, 4, owner.tag());
  test::write_shard(other, description, 0);
  test::write_shard(owner, description, 1);
  test::write_shard(other, description, 2);
  const ShardManifest shared = owner.commit();
  EXPECT_EQ(shared.content_hash, alone);
  for (const ShardEntry& shard : shared.shards) {
    EXPECT_EQ(test::bytes_of(folder / "shared" / shard.file), test::bytes_of(folder / "alone" / shard.file));
  }
  EXPECT_EQ(test::bytes_of(folder / "shared/manifest.json"), test::bytes_of(folder / "alone/manifest.json"));
}

TEST(ShardWriter, WithoutCommitNothingIsLeft) {
  const test::TemporaryFolder folder;
  {
    const ShardManifest description = test::token_description(11);
    const ShardWriter writer(folder / "data", description, 5);
    test::write_shard(writer, description, 1);
  }
  EXPECT_TRUE(folder.is_empty());
}

TEST(ShardWriter, AMissingShardIsNotCommitted) {
  const test::TemporaryFolder folder;
  {
    const ShardManifest description = test::token_description(11);
    ShardWriter writer(folder / "data", description, 5);
    test::write_shard(writer, description, 0);
    test::write_shard(writer, description, 2);
    EXPECT_THAT(message_of([&] { writer.commit(); }), HasSubstr("shard-00001.h5"));
  }
  EXPECT_TRUE(folder.is_empty());
}

TEST(ShardWriter, AKilledImportLeavesNothingThatLooksWholeAndTheNextOneCleansUp) {
  const test::TemporaryFolder folder;
  const ShardManifest description = test::token_description(11);
  const pid_t child = ::fork();
  if (child == 0) {
    const ShardWriter writer(folder / "data", description, 5);
    test::write_shard(writer, description, 0);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("data.tmp-" + std::to_string(child)));
  EXPECT_FALSE(already_made(folder / "data", description.source_hash));
  test::write_dataset(folder / "data", description, 5);
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("data"));
}

TEST(ShardWriter, LeavesTheFolderOfALivingWriterAlone) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder / "data.tmp-1");
  const ShardManifest description = test::token_description(11);
  const pid_t child = ::fork();  // holds its folder until it is killed
  if (child == 0) {
    const ShardWriter writer(folder / "data", description, 5);
    ::pause();
  }
  const fs::path living = folder / ("data.tmp-" + std::to_string(child));
  while (!fs::exists(living / "owner.lock")) ::usleep(1000);
  ::usleep(20000);
  test::write_dataset(folder / "data", description, 5);
  EXPECT_TRUE(fs::exists(living));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST(ShardWriter, RefusesAnExistingFolder) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder / "data");
  test::write_dataset(folder / "data", test::token_description(3), 5);  // an empty one will do
  EXPECT_THAT(message_of([&] { ShardWriter(folder / "data", test::token_description(3), 5); }),
              AllOf(HasSubstr("data exists"), HasSubstr("remove it first")));
}

TEST(ShardWriter, RefusesAnEmptyDataSet) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(message_of([&] { ShardWriter(folder / "data", test::token_description(0), 5); }),
              HasSubstr("a test holds no samples [an empty data set trains nothing]"));
  EXPECT_TRUE(folder.is_empty());
}

TEST(ShardWriter, RefusesWhatDoesNotFitTheShard) {
  const test::TemporaryFolder folder;
  const ShardWriter writer(folder / "data", test::token_description(3), 2);
  const std::vector<std::byte> tokens(10);
  const std::vector<std::int32_t> labels = {1, 7};
  EXPECT_THROW(writer.write(0, tokens, std::vector<std::int32_t>{1}), std::invalid_argument);
  EXPECT_THROW(writer.write(0, std::span(tokens).first(9), std::vector<std::int32_t>{1, 2}),
               std::invalid_argument);
  EXPECT_THROW(writer.write(0, tokens, labels), std::invalid_argument) << "label 7 of 7 classes";
  EXPECT_THROW(writer.write(2, tokens, labels), std::invalid_argument);
}

TEST(AlreadyMade, TellsSameOtherAndForeign) {
  const test::TemporaryFolder folder;
  const fs::path out = folder / "data";
  EXPECT_FALSE(already_made(out, "source-1"));
  test::write_dataset(out, test::token_description(23), 5);
  EXPECT_TRUE(already_made(out, "source-1"));
  for (const fs::path& inside :
       {out / "more", out / "more" / "deeper", folder / "data" / "." / "more" / ""}) {
    EXPECT_THAT(message_of([&] { already_made(inside, "source-1"); }),
                AllOf(HasSubstr("lies inside the data set " + out.string()), HasSubstr("beside it")));
  }
  EXPECT_FALSE(already_made(folder / "data-2", "source-1"));
  EXPECT_THAT(message_of([&] { already_made(out, "source-9"); }),
              AllOf(HasSubstr("holds another data set (a test)"), HasSubstr("name another folder")));
  test::flip_bit(out / "shard-00001.h5", 100, 1);
  EXPECT_THAT(message_of([&] { already_made(out, "source-1"); }), HasSubstr("is damaged"));
  fs::remove(out / "manifest.json");
  EXPECT_THAT(message_of([&] { already_made(out, "source-1"); }),
              HasSubstr("data exists and is not a data set [it is not ours to overwrite]"));
}

TEST(ShardWriter, DefaultShardSizes) {
  EXPECT_EQ(default_samples_per_shard(test::token_description(1)), 2048);
  ShardManifest large = test::image_description(1);
  large.shape = {3, 256, 256};
  EXPECT_EQ(default_samples_per_shard(large), 341);  // 64 MiB / 196608 bytes
  large.shape = {3, 8192, 8192};
  EXPECT_EQ(default_samples_per_shard(large), 1);
}

}  // namespace
}  // namespace bitlaw::data
