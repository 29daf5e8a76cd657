#include "data/import/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/import/idx.h"
#include "data/shard_store.h"
#include "tests/data/shard_samples.h"
#include "tests/support/idx_files.h"
#include "tests/support/picture_files.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kFashion = "/usr/share/datasets/fashion-mnist";  // Debian package dataset-fashion-mnist

struct Samples {
  std::vector<std::byte> bytes;
  std::vector<std::int64_t> labels;
};

Samples read_all(const fs::path& folder) {
  const ShardStore store(folder);
  const auto count = static_cast<std::size_t>(store.manifest().samples);
  std::vector<std::int64_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  Samples samples{std::vector<std::byte>(count * sample_bytes(store.manifest())),
                  std::vector<std::int64_t>(count)};
  store.read(indices, samples.bytes, samples.labels);
  return samples;
}

ImportOptions options_for(const fs::path& source, const fs::path& out, std::int64_t size = 0) {
  ImportOptions options;
  options.source = source;
  options.out = out;
  options.size = size;
  return options;
}

TEST(ImportIdx, FashionMnistAsPublished) {
  const test::TemporaryFolder folder;
  const ImportResult train = import_idx(options_for(kFashion, folder / "train", 32), "train");
  EXPECT_FALSE(train.already_made);
  EXPECT_EQ(train.manifest.samples, 60000);
  EXPECT_EQ(train.manifest.num_classes, 10);
  EXPECT_EQ(train.manifest.shape, (std::vector<std::int64_t>{1, 32, 32}));
  EXPECT_EQ(train.manifest.shards.size(), 30U);
  const Samples samples = read_all(folder / "train");
  EXPECT_THAT(std::vector<std::int64_t>(samples.labels.begin(), samples.labels.begin() + 10),
              ElementsAre(9, 0, 0, 3, 0, 2, 7, 2, 5, 5));
  std::map<std::int64_t, int> counts;
  for (const std::int64_t label : samples.labels) ++counts[label];
  for (std::int64_t label = 0; label < 10; ++label) EXPECT_EQ(counts[label], 6000) << label;

  const IdxArray raw = read_idx(kFashion / "train-images-idx3-ubyte.gz");
  for (const std::size_t sample : {0UL, 12345UL, 59999UL}) {
    for (std::size_t y = 0; y < 32; ++y) {
      for (std::size_t x = 0; x < 32; ++x) {
        const bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;
        const int expected = inside ? raw.values[sample * 784 + (y - 2) * 28 + x - 2] : 0;
        ASSERT_EQ(static_cast<int>(samples.bytes[sample * 1024 + y * 32 + x]), expected);
      }
    }
  }
}

TEST(ImportIdx, FashionMnistTestSplit) {
  const test::TemporaryFolder folder;
  const ImportResult result = import_idx(options_for(kFashion, folder / "test"), "test");
  EXPECT_EQ(result.manifest.samples, 10000);
  EXPECT_EQ(result.manifest.shape, (std::vector<std::int64_t>{1, 28, 28}));
  const Samples samples = read_all(folder / "test");
  EXPECT_THAT(std::vector<std::int64_t>(samples.labels.begin(), samples.labels.begin() + 10),
              ElementsAre(9, 2, 1, 1, 6, 1, 4, 6, 5, 7));
  const IdxArray raw = read_idx(kFashion / "t10k-images-idx3-ubyte.gz");
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(raw.values)), samples.bytes));
}

// Four 2x2 pictures with labels 1, 0, 2, 1.
class SmallIdx : public testing::Test {
 protected:
  SmallIdx() {
    test::write_bytes(source_ / "train-images-idx3-ubyte", test::idx_bytes({4, 2, 2}, "abcdefghijklmnop"));
    test::write_bytes(source_ / "train-labels-idx1-ubyte", test::idx_bytes({4}, std::string("\1\0\2\1", 4)));
  }
  ImportOptions options(std::int64_t size = 0) { return options_for(source_, out_, size); }
  std::string error() {
    return message_of([&] { import_idx(options(), "train"); });
  }
  const test::TemporaryFolder folder_;
  const fs::path source_ = folder_ / "source";
  const fs::path out_ = folder_ / "out";
};

TEST_F(SmallIdx, SizesAndChannels) {
  EXPECT_EQ(import_idx(options(4), "train").manifest.shape, (std::vector<std::int64_t>{1, 4, 4}));
  const std::string padded("\0\0\0\0\0ab\0\0cd\0\0\0\0\0", 16);
  const Samples samples = read_all(out_);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(samples.bytes.data()), 16), padded);
  EXPECT_THAT(samples.labels, ElementsAre(1, 0, 2, 1));

  ImportOptions smaller = options(1);
  smaller.out = folder_ / "smaller";
  smaller.channels = 3;
  EXPECT_EQ(import_idx(smaller, "train").manifest.shape, (std::vector<std::int64_t>{3, 1, 1}));
  const Samples means = read_all(smaller.out);
  // mean of a b c d is 98.5 (rounded to even: 98), of e f g h 102.5
  EXPECT_THAT(means.bytes, testing::Contains(std::byte{98}).Times(3));
  EXPECT_THAT(means.bytes, testing::Contains(std::byte{102}).Times(3));
}

TEST_F(SmallIdx, ClassesAreCountedOverBothSplits) {
  EXPECT_EQ(import_idx(options(), "train").manifest.num_classes, 3);
  test::write_bytes(source_ / "t10k.labels.idx1-ubyte", "");  // no such name
  test::write_bytes(source_ / "t10k-labels.idx1-ubyte.gz",
                    test::gzip(test::idx_bytes({2}, std::string("\0\5", 2))));
  ImportOptions again = options();
  again.out = folder_ / "again";
  EXPECT_EQ(import_idx(again, "train").manifest.num_classes, 6);
}

TEST_F(SmallIdx, DoesNothingWhenTheSameIsThere) {
  import_idx(options(4), "train");
  const auto written = fs::last_write_time(out_ / "shard-00000.h5");
  const ImportResult again = import_idx(options(4), "train");
  EXPECT_TRUE(again.already_made);
  EXPECT_EQ(again.manifest.samples, 4);
  EXPECT_EQ(fs::last_write_time(out_ / "shard-00000.h5"), written);
  EXPECT_THAT(error(), AllOf(HasSubstr("out holds another data set (idx "), HasSubstr("(train))")))
      << "without --size it is another data set";
  test::write_bytes(source_ / "train-images-idx3-ubyte", test::idx_bytes({4, 2, 2}, "abcdefghijklmnoX"));
  EXPECT_THAT(message_of([&] { import_idx(options(4), "train"); }), HasSubstr("holds another data set"));
}

TEST_F(SmallIdx, RefusesDamagedSourcesAndLeavesNothing) {
  const fs::path images = source_ / "train-images-idx3-ubyte";
  test::write_bytes(images, test::idx_bytes({4, 2, 2}, "abcdef"));
  EXPECT_THAT(error(), HasSubstr("is truncated (6 of 16 bytes of samples)"));
  test::write_bytes(images, test::idx_bytes({3, 2, 2}, "abcdefghijkl"));
  EXPECT_THAT(error(), AllOf(HasSubstr("holds 3 images"), HasSubstr("4 labels")));
  test::write_bytes(images, test::idx_bytes({4}, "abcd"));
  EXPECT_THAT(error(), HasSubstr("have 1 and 1 dimensions"));
  test::write_bytes(images, test::idx_bytes({0, 2, 2}, ""));
  const fs::path labels = source_ / "train-labels-idx1-ubyte";
  const std::string four = test::bytes_of(labels);
  test::write_bytes(labels, test::idx_bytes({0}, ""));
  EXPECT_THAT(error(), HasSubstr("holds no samples [an empty data set trains nothing]"));
  test::write_bytes(labels, four);
  test::write_bytes(images, test::idx_bytes({4, 0, 2}, ""));
  EXPECT_THAT(error(), HasSubstr("images of 2 x 0 pixels"));
  fs::remove(images);
  EXPECT_THAT(error(), HasSubstr("holds no train-images-idx3-ubyte[.gz]"));
  EXPECT_THAT(message_of([&] { import_idx(options(), "test"); }), HasSubstr("holds no t10k-images-idx3"));
  EXPECT_THAT(message_of([&] { import_idx(options(), "dev"); }), HasSubstr("--split dev"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(SmallIdx, StopsWhenToldSoAndLeavesNothing) {
  ImportOptions stopping = options();
  stopping.progress = [](std::int64_t done, std::int64_t total) {
    EXPECT_LE(done, total);
    return false;
  };
  EXPECT_THROW(import_idx(stopping, "train"), ImportStopped);
  EXPECT_FALSE(fs::exists(out_));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1) << "the source alone";
}

class ImageFolder : public testing::Test {
 protected:
  ImageFolder() {
    // named so that the order of the names is not the order of their making
    test::write_bytes(source_ / "zebra" / "b.png", test::png_bytes(test::gradient(8, 8, 3)));
    test::write_bytes(source_ / "zebra" / "a.JPG", test::jpeg_bytes(test::gradient(8, 8, 3)));
    test::write_bytes(source_ / "apple" / "2.png", test::png_bytes(test::gradient(8, 8, 1)));
    test::write_bytes(source_ / "apple" / "10.jpeg", test::jpeg_bytes(test::gradient(8, 8, 1)));
    test::write_bytes(source_ / "LICENCE", "text beside the classes");
    test::write_bytes(source_ / "zebra" / ".DS_Store", "hidden");
  }
  ImportOptions options(std::int64_t size = 0) { return options_for(source_, out_, size); }
  std::string error(std::int64_t size = 0) {
    return message_of([&] { import_image_folder(options(size)); });
  }
  const test::TemporaryFolder folder_;
  const fs::path source_ = folder_ / "source";
  const fs::path out_ = folder_ / "out";
};

TEST_F(ImageFolder, ClassesAndPicturesInSortedOrder) {
  const ImportResult result = import_image_folder(options());
  EXPECT_THAT(result.manifest.class_names, ElementsAre("apple", "zebra"));
  EXPECT_EQ(result.manifest.samples, 4);
  EXPECT_EQ(result.manifest.shape, (std::vector<std::int64_t>{3, 8, 8}));
  const Samples samples = read_all(out_);
  EXPECT_THAT(samples.labels, ElementsAre(0, 0, 1, 1));
  std::vector<std::byte> expected(192);
  to_planes(with_channels(test::gradient(8, 8, 1), 3), expected);  // 2.png, after 10.jpeg
  EXPECT_TRUE(std::ranges::equal(std::span(samples.bytes).subspan(192, 192), expected));
  to_planes(test::gradient(8, 8, 3), expected);  // b.png, after a.JPG
  EXPECT_TRUE(std::ranges::equal(std::span(samples.bytes).subspan(576, 192), expected));
}

TEST_F(ImageFolder, GreyAndResized) {
  ImportOptions grey = options(4);
  grey.channels = 1;
  EXPECT_EQ(import_image_folder(grey).manifest.shape, (std::vector<std::int64_t>{1, 4, 4}));
  const Samples samples = read_all(out_);
  std::vector<std::byte> expected(16);
  to_planes(resize_and_crop(with_channels(test::gradient(8, 8, 3), 1), 4), expected);
  EXPECT_TRUE(std::ranges::equal(std::span(samples.bytes).subspan(48, 16), expected));
}

TEST_F(ImageFolder, TheResultDoesNotDependOnThreads) {
  std::vector<std::string> hashes;
  for (const int threads : {1, 4}) {
    ImportOptions some = options(5);
    some.out = folder_ / ("out" + std::to_string(threads));
    some.threads = threads;
    some.samples_per_shard = 1;
    import_image_folder(some);
    hashes.push_back(test::bytes_of(some.out / "manifest.json"));
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

TEST_F(ImageFolder, DoesNothingWhenTheSameIsThere) {
  EXPECT_FALSE(import_image_folder(options()).already_made);
  EXPECT_TRUE(import_image_folder(options()).already_made);
  fs::rename(source_ / "apple" / "2.png", source_ / "apple" / "3.png");
  EXPECT_THAT(error(), HasSubstr("holds another data set (folder "));
}

TEST_F(ImageFolder, NamesEveryDamagedPicture) {
  test::write_bytes(source_ / "apple" / "bad.png", "not a picture");
  EXPECT_THAT(error(8),
              AllOf(HasSubstr("apple/bad.png: neither PNG nor JPEG"), HasSubstr("replace or remove")));
  const std::string jpeg = test::bytes_of(source_ / "zebra" / "a.JPG");
  test::write_bytes(source_ / "zebra" / "a.JPG", jpeg.substr(0, jpeg.size() / 2));
  EXPECT_THAT(error(8), AllOf(HasSubstr("2 samples cannot be imported"), HasSubstr("apple/bad.png"),
                              HasSubstr("zebra/a.JPG: ")));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1) << "the source alone";
}

TEST_F(ImageFolder, StopsAfterTenDamagedPictures) {
  for (int i = 0; i < 30; ++i) {
    test::write_bytes(source_ / "bad" / (std::to_string(i) + ".png"), "x");
  }
  EXPECT_THAT(error(8), HasSubstr("10 or more samples cannot be imported"));
}

TEST_F(ImageFolder, RefusesWhatDoesNotFit) {
  test::write_bytes(source_ / "apple" / "wide.png", test::png_bytes(test::gradient(8, 9, 3)));
  EXPECT_THAT(error(), AllOf(HasSubstr("wide.png is 9 x 8, the first one 8 x 8"), HasSubstr("--size N")));
  EXPECT_EQ(error(8), "");
  fs::remove_all(out_);
  test::write_bytes(source_ / "apple" / "notes.txt", "x");
  EXPECT_THAT(error(8), AllOf(HasSubstr("notes.txt is not a .png, .jpg or .jpeg file"), HasSubstr("silent")));
  fs::remove(source_ / "apple" / "notes.txt");
  fs::create_directories(source_ / "apple" / "more");
  EXPECT_THAT(error(8), HasSubstr("more is not a .png"));
  fs::remove(source_ / "apple" / "more");
  fs::create_directory(source_ / "empty");
  EXPECT_THAT(error(8), AllOf(HasSubstr("class folder "), HasSubstr("empty is empty")));
  EXPECT_THAT(message_of([&] { import_image_folder(options_for(source_ / "apple", out_)); }),
              HasSubstr("apple holds no class folders"));
  EXPECT_THAT(message_of([&] { import_image_folder(options_for(folder_ / "absent", out_)); }),
              HasSubstr("absent"));
}

}  // namespace
}  // namespace bitlaw::data
