#include "data/shard_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <thread>

#include "tests/data/shard_samples.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

void expect_samples(const ShardStore& store, const std::vector<std::int64_t>& indices) {
  const ShardManifest& manifest = store.manifest();
  std::vector<std::byte> samples(indices.size() * sample_bytes(manifest));
  std::vector<std::int64_t> labels(indices.size());
  store.read(indices, samples, labels);
  std::vector<std::byte> expected;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const auto sample = test::sample_of(manifest, indices[i]);
    expected.insert(expected.end(), sample.begin(), sample.end());
    ASSERT_EQ(labels[i], test::label_of(indices[i])) << indices[i];
  }
  ASSERT_EQ(samples, expected);
}

std::vector<std::int64_t> all_of(std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

TEST(ShardStore, ReadsWhatWasWritten) {
  const test::TemporaryFolder folder;
  int number = 0;
  for (const ShardManifest& description :
       {test::token_description(23), test::token_description(23, 256), test::token_description(23, 257),
        test::token_description(23, 65536), test::token_description(23, 70000),
        test::image_description(23)}) {
    const auto out = folder / std::to_string(number++);
    test::write_dataset(out, description, 5);
    const ShardStore store(out);
    expect_samples(store, all_of(23));
    expect_samples(store, {22, 0, 7, 8, 9, 10, 11, 3, 3, 4, 21, 22});
    expect_samples(store, {});
  }
}

TEST(ShardStore, TokensTakeTheSmallestInteger) {
  EXPECT_EQ(sample_dtype(test::token_description(1, 2)), DType::uint8);
  EXPECT_EQ(sample_dtype(test::token_description(1, 256)), DType::uint8);
  EXPECT_EQ(sample_dtype(test::token_description(1, 257)), DType::uint16);
  EXPECT_EQ(sample_dtype(test::token_description(1, 65536)), DType::uint16);
  EXPECT_EQ(sample_dtype(test::token_description(1, 65537)), DType::int32);
}

TEST(ShardStore, RefusesAnIndexThatIsNotThere) {
  const test::TemporaryFolder folder;
  test::write_dataset(folder / "d", test::token_description(4), 5);
  const ShardStore store(folder / "d");
  EXPECT_THROW(expect_samples(store, {4}), std::out_of_range);
  EXPECT_THROW(expect_samples(store, {-1}), std::out_of_range);
}

TEST(ShardStore, ManyThreadsReadThroughFewOpenFiles) {
  const test::TemporaryFolder folder;
  test::write_dataset(folder / "d", test::image_description(60), 3);
  const ShardStore store(folder / "d", {.max_open_files = 2});
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = open_files();
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&store, seed] {
      std::mt19937 random(seed);
      std::vector<std::int64_t> indices(16);
      for (int round = 0; round < 100; ++round) {
        for (auto& index : indices) index = static_cast<std::int64_t>(random() % 60);
        expect_samples(store, indices);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(open_files(), before + 2);
}

class DamagedShards : public testing::Test {
 protected:
  DamagedShards() { test::write_dataset(out_, test::token_description(23), 5); }
  std::string opening_error(const ShardStoreOptions& options = {}) {
    return message_of([&] { ShardStore(out_, options); });
  }

  const test::TemporaryFolder folder_;
  const std::filesystem::path out_ = folder_ / "data";
  const std::filesystem::path shard_ = out_ / "shard-00002.h5";
};

TEST_F(DamagedShards, NoFolderOrNoManifest) {
  EXPECT_THAT(message_of([&] { ShardStore(folder_ / "absent"); }),
              AllOf(HasSubstr("absent does not exist"), HasSubstr("[it should be a folder of shards]")));
  std::filesystem::remove(out_ / "manifest.json");
  EXPECT_THAT(opening_error(), AllOf(HasSubstr("has no manifest.json"), HasSubstr("not whole")));
}

TEST_F(DamagedShards, Missing) {
  std::filesystem::remove(shard_);
  EXPECT_THAT(opening_error(), AllOf(HasSubstr("shard-00002.h5 is missing"), HasSubstr("5 samples")));
  EXPECT_THAT(opening_error({.verify_bytes = 0}), HasSubstr("is missing"));
}

TEST_F(DamagedShards, TruncatedTellsTheBytes) {
  const auto size = std::filesystem::file_size(shard_);
  std::filesystem::resize_file(shard_, size / 2);
  const std::string bytes = "(" + std::to_string(size / 2) + " of " + std::to_string(size) + " bytes)";
  EXPECT_THAT(opening_error(), AllOf(HasSubstr("shard-00002.h5 is truncated " + bytes),
                                     HasSubstr("[a short shard would silently shrink the data set]")));
  EXPECT_THAT(opening_error({.verify_bytes = 0}), HasSubstr("is truncated " + bytes));
  std::filesystem::resize_file(shard_, size + 1);
  EXPECT_THAT(opening_error({.verify_bytes = 0}), HasSubstr("is too long"));
}

TEST_F(DamagedShards, AnyFlippedBitIsRefusedAtOpening) {
  const auto size = std::filesystem::file_size(shard_);
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    const std::size_t byte = random() % size;
    const int bit = static_cast<int>(random() % 8);
    test::flip_bit(shard_, byte, bit);
    ASSERT_THAT(opening_error(), AllOf(HasSubstr("shard-00002.h5 is damaged"), HasSubstr("checksum")))
        << byte;
    test::flip_bit(shard_, byte, bit);
  }
  EXPECT_EQ(opening_error(), "");
}

// What a data set above verify_bytes has instead of the check at opening.
TEST_F(DamagedShards, AFlippedBitOfASampleIsRefusedWhenItIsRead) {
  const std::size_t offset = TensorFile::open(shard_).byte_offset("tokens");
  test::flip_bit(shard_, offset + 5 * 3 + 2, 0);  // sample 3 of the shard: 13 of the data set
  const ShardStore store(out_, {.verify_bytes = 0});
  EXPECT_THAT(message_of([&] {
                expect_samples(store, {12, 13, 14});
              }),
              AllOf(HasSubstr("shard-00002.h5 is damaged: sample 13 has checksum"), HasSubstr("instead of"),
                    HasSubstr("bitlaw data verify")));
  expect_samples(store, {0, 9, 10, 11, 12, 14, 15, 22});
}

TEST_F(DamagedShards, AFlippedBitOfLabelsOrChecksumsIsRefusedAtTheFirstTouch) {
  for (const char* name : {"labels", "checksums"}) {
    const std::size_t offset = TensorFile::open(shard_).byte_offset(name);
    test::flip_bit(shard_, offset, 0);
    const ShardStore store(out_, {.verify_bytes = 0});
    EXPECT_THAT(message_of([&] { expect_samples(store, {10}); }),
                AllOf(HasSubstr("shard-00002.h5"), HasSubstr(name), HasSubstr("damaged")));
    expect_samples(store, {0, 9, 15});
    test::flip_bit(shard_, offset, 0);
  }
}

TEST_F(DamagedShards, AShardOfAnotherDataSetIsRefused) {
  ShardManifest other = test::token_description(23);
  other.vocab_size = 63;  // other tokens in files of the same size
  test::write_dataset(folder_ / "other", other, 5);
  std::filesystem::copy_file(folder_ / "other" / "shard-00002.h5", shard_,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(opening_error(), HasSubstr("is damaged"));
  const ShardStore store(out_, {.verify_bytes = 0});
  EXPECT_THAT(message_of([&] { expect_samples(store, {10}); }), HasSubstr("holds other samples"));
}

TEST_F(DamagedShards, VerifyListsEverything) {
  EXPECT_TRUE(shard_problems(out_).empty());
  std::filesystem::remove(out_ / "shard-00000.h5");
  std::filesystem::resize_file(out_ / "shard-00001.h5", 100);
  test::flip_bit(shard_, std::filesystem::file_size(shard_) / 2, 3);
  EXPECT_THAT(shard_problems(out_), testing::ElementsAre(HasSubstr("shard-00000.h5 is missing"),
                                                         HasSubstr("shard-00001.h5 is truncated"),
                                                         HasSubstr("shard-00002.h5 is damaged")));
}

TEST_F(DamagedShards, AnEditedManifestIsRefused) {
  std::string text = test::bytes_of(out_ / "manifest.json");
  text.replace(text.find("\"vocab_size\": 64"), 16, "\"vocab_size\": 65");
  test::set_bytes(out_ / "manifest.json", text);
  EXPECT_THAT(opening_error(), HasSubstr("it was edited or is damaged"));
}

}  // namespace
}  // namespace bitlaw::data
