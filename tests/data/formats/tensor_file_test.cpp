// TensorFile: what is written comes back; what is not committed leaves nothing.
#include "data/formats/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using testing::ElementsAre;

std::vector<std::byte> pattern(std::size_t size, std::size_t salt = 0) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 167 + salt * 13 + (i >> 8)) & 255);
  }
  return bytes;
}

std::vector<std::byte> read_all(const TensorFile& file, const std::string& name) {
  std::vector<std::byte> bytes(file.info(name).byte_count());
  file.read(name, bytes);
  return bytes;
}

void put_bytes(TensorFile& file, const std::string& name, std::span<const std::byte> bytes) {
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(bytes.size())};
  file.put(name, DType::uint8, shape, bytes);
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(TensorFile, TensorsOfAllTypesAndSizesComeBack) {
  test::TemporaryFolder folder;
  const std::vector<std::int64_t> scalar = {};
  const std::vector<std::int64_t> empty = {3, 0, 2};
  const std::vector<std::int64_t> matrix = {5, 7};
  TensorFile file = TensorFile::create(folder / "x.h5");
  for (int i = 0; i <= static_cast<int>(DType::float8_e5m2fnuz); ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string name(name_of(dtype));
    file.put("matrix/" + name, dtype, matrix, pattern(35 * size_of(dtype)));
    file.put("scalar/" + name, dtype, scalar, pattern(size_of(dtype), 5));
    file.put("empty/" + name, dtype, empty, {});
  }
  put_bytes(file, "large", pattern(3 << 20));
  file.commit();
  const TensorFile back = TensorFile::open(folder / "x.h5");
  EXPECT_EQ(back.names().size(), 3U * 18U + 1U);
  for (int i = 0; i <= static_cast<int>(DType::float8_e5m2fnuz); ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string name(name_of(dtype));
    EXPECT_EQ(back.info("matrix/" + name).dtype, dtype);
    EXPECT_EQ(back.info("matrix/" + name).shape, matrix);
    EXPECT_EQ(back.info("scalar/" + name).shape, scalar);
    EXPECT_EQ(back.info("empty/" + name).shape, empty);
    EXPECT_EQ(read_all(back, "matrix/" + name), pattern(35 * size_of(dtype)));
    EXPECT_EQ(read_all(back, "scalar/" + name), pattern(size_of(dtype), 5));
    EXPECT_TRUE(read_all(back, "empty/" + name).empty());
  }
  EXPECT_EQ(read_all(back, "large"), pattern(3 << 20));
  EXPECT_EQ(back.info("large").checksum, tensor_checksum(pattern(3 << 20)));
}

TEST(TensorFile, RangesAreElementsOfTheFlattenedTensor) {
  test::TemporaryFolder folder;
  std::vector<std::int32_t> values(100);
  std::iota(values.begin(), values.end(), -50);
  TensorFile file = TensorFile::create(folder / "x.h5");
  const std::vector<std::int64_t> shape = {10, 10};
  put_bytes(file, "before", pattern(13));
  file.put("t", DType::int32, shape, std::as_bytes(std::span(values)));
  file.commit();
  const TensorFile back = TensorFile::open(folder / "x.h5");
  std::vector<std::int32_t> part(7);
  back.read_range("t", 93, std::as_writable_bytes(std::span(part)));
  EXPECT_THAT(part, ElementsAre(43, 44, 45, 46, 47, 48, 49));
  EXPECT_THROW(back.read_range("t", 94, std::as_writable_bytes(std::span(part))), std::invalid_argument);
  EXPECT_THROW(back.read_range("t", -1, std::as_writable_bytes(std::span(part))), std::invalid_argument);
  EXPECT_THROW(back.read_range("t", 0, std::as_writable_bytes(std::span(part)).first(3)),
               std::invalid_argument);
}

TEST(TensorFile, AttributesOfEveryKindComeBack) {
  test::TemporaryFolder folder;
  const std::vector<std::int64_t> shape = {64, -1, INT64_MAX};
  const std::string long_text(200000, 'y');
  TensorFile file = TensorFile::create(folder / "x.h5");
  file.put_text("", "format", "bitlaw-model");
  file.put_text("", "empty", "");
  file.put_text("a/b", "config", "key: \"Grüße\"\n" + long_text);
  file.put_integer("a/b", "num_bits", -3);
  file.put_integers("a/b", "shape", shape);
  file.put_integers("a/b", "nothing", {});
  file.put_group("lonely");
  file.commit();
  const TensorFile back = TensorFile::open(folder / "x.h5");
  EXPECT_EQ(back.text("", "format"), "bitlaw-model");
  EXPECT_EQ(back.text("", "empty"), "");
  EXPECT_EQ(back.text("a/b", "config"), "key: \"Grüße\"\n" + long_text);
  EXPECT_EQ(back.integer("a/b", "num_bits"), -3);
  EXPECT_EQ(back.integers("a/b", "shape"), shape);
  EXPECT_TRUE(back.integers("a/b", "nothing").empty());
  EXPECT_THAT(back.groups(""), ElementsAre("a", "lonely"));
  EXPECT_THAT(back.groups("a"), ElementsAre("b"));
  EXPECT_THAT(back.text_keys(""), ElementsAre("empty", "format"));
  EXPECT_THAT(back.attribute_keys("a/b"), ElementsAre("config", "num_bits", "nothing", "shape"));
  EXPECT_TRUE(back.has_text("a/b", "config"));
  EXPECT_FALSE(back.has_text("a/b", "num_bits"));
  EXPECT_FALSE(back.has_text("nowhere", "config"));
}

TEST(TensorFile, UncommittedLeavesNothing) {
  test::TemporaryFolder folder;
  {
    TensorFile file = TensorFile::create(folder / "x.h5");
    put_bytes(file, "t", pattern(100000));
  }
  EXPECT_TRUE(folder.is_empty());
  {
    TensorFile file = TensorFile::create(folder / "x.h5");
    put_bytes(file, "t", pattern(100000));
    file.seal();
  }
  EXPECT_TRUE(folder.is_empty());
}

TEST(TensorFile, OldFileStaysUntilCommit) {
  test::TemporaryFolder folder;
  for (std::size_t version = 0; version < 3; ++version) {
    TensorFile file = TensorFile::create(folder / "x.h5");
    put_bytes(file, "t", pattern(1000, version));
    if (version > 0) {
      EXPECT_EQ(read_all(TensorFile::open(folder / "x.h5"), "t"), pattern(1000, version - 1));
    }
    file.commit();
    EXPECT_EQ(read_all(TensorFile::open(folder / "x.h5"), "t"), pattern(1000, version));
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(TensorFile, SealedFileCanBeReadBackBeforeItHasItsName) {
  test::TemporaryFolder folder;
  TensorFile file = TensorFile::create(folder / "x.h5");
  put_bytes(file, "t", pattern(1000));
  const auto temporary = file.seal();
  EXPECT_FALSE(std::filesystem::exists(folder / "x.h5"));
  EXPECT_EQ(read_all(TensorFile::open(temporary), "t"), pattern(1000));
  EXPECT_THROW(put_bytes(file, "u", pattern(10)), std::logic_error);
  file.commit();
  EXPECT_EQ(read_all(TensorFile::open(folder / "x.h5"), "t"), pattern(1000));
  EXPECT_THROW(file.commit(), std::logic_error);
}

TEST(TensorFile, EqualContentsGiveEqualFiles) {
  test::TemporaryFolder folder;
  for (const char* name : {"a.h5", "b.h5"}) {
    TensorFile file = TensorFile::create(folder / name);
    for (std::size_t i = 0; i < 50; ++i) {
      put_bytes(file, "group" + std::to_string(i % 7) + "/t" + std::to_string(i), pattern(i * 100, i));
      file.put_text("group" + std::to_string(i % 7), "key" + std::to_string(i), std::to_string(i));
    }
    file.commit();
  }
  EXPECT_EQ(contents(folder / "a.h5"), contents(folder / "b.h5"));
}

TEST(TensorFile, MisuseIsRefused) {
  test::TemporaryFolder folder;
  TensorFile file = TensorFile::create(folder / "x.h5");
  const std::vector<std::int64_t> shape = {4};
  for (const char* name : {"", "/a", "a/", "a//b", "a/./b"}) {
    EXPECT_THROW(put_bytes(file, name, pattern(3)), std::invalid_argument) << name;
  }
  EXPECT_THROW(file.put("t", DType::float32, shape, pattern(15)), std::invalid_argument);
  const std::vector<std::int64_t> negative = {-1, -4};
  EXPECT_THROW(file.put("t", DType::uint8, negative, pattern(4)), std::invalid_argument);
  EXPECT_THROW(file.put("t", DType::float4_e2m1, shape, pattern(2)), std::invalid_argument);
  EXPECT_THROW(file.put_text("", "k", std::string("a\0b", 3)), std::invalid_argument);
  put_bytes(file, "t", pattern(3));
  EXPECT_THROW(put_bytes(file, "t", pattern(3)), std::invalid_argument);
  EXPECT_THROW(put_bytes(file, "t/u", pattern(3)), std::invalid_argument);
  file.put_text("g", "k", "v");
  EXPECT_THROW(file.put_text("g", "k", "w"), std::invalid_argument);
  EXPECT_THROW(put_bytes(file, "g", pattern(3)), std::invalid_argument);
  file.commit();
  TensorFile back = TensorFile::open(folder / "x.h5");
  EXPECT_EQ(read_all(back, "t"), pattern(3));
  EXPECT_THROW(back.put_text("", "k", "v"), std::logic_error);
  EXPECT_THROW(back.commit(), std::logic_error);
  std::vector<std::byte> wrong(2);
  EXPECT_THROW(back.read("t", wrong), std::invalid_argument);
}

TEST(TensorFile, ManyThreadsReadAndWriteAtOnce) {
  test::TemporaryFolder folder;
  {
    TensorFile file = TensorFile::create(folder / "shared.h5");
    put_bytes(file, "t", pattern(100000));
    file.commit();
  }
  const TensorFile shared = TensorFile::open(folder / "shared.h5");
  std::vector<std::thread> threads;
  std::vector<int> good(8);
  for (std::size_t id = 0; id < good.size(); ++id) {
    threads.emplace_back([&, id] {
      for (std::size_t round = 0; round < 20; ++round) {
        const auto path = folder / (std::to_string(id) + ".h5");
        TensorFile file = TensorFile::create(path);
        put_bytes(file, "own", pattern(5000, id * 20 + round));
        file.commit();
        good[id] +=
            static_cast<int>(read_all(TensorFile::open(path), "own") == pattern(5000, id * 20 + round));
        good[id] += static_cast<int>(read_all(shared, "t") == pattern(100000));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(good, testing::Each(40));
}

}  // namespace
}  // namespace bitlaw::data
