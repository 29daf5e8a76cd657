// What is wrong with a file is said, by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"
#include "tests/data/formats/tensor_file_support.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using test::make_file;
using test::message_of_reading;
using test::put_bytes;
using test::read_bytes;
using test::write_bytes;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

TEST(TensorFileDamage, MissingFileIsNamed) {
  test::TemporaryFolder folder;
  const auto path = folder / "nowhere.h5";
  EXPECT_THAT(message_of_reading(path),
              AllOf(HasSubstr(path.string() + " is missing"), HasSubstr("check the path")));
  EXPECT_THAT(message_of_reading(path / "deeper"), HasSubstr("is missing"));
  EXPECT_THAT(message_of_reading(folder.path()), HasSubstr("is not a regular file"));
}

TEST(TensorFileDamage, OtherFilesAreNotHdf5) {
  test::TemporaryFolder folder;
  write_bytes(folder / "text", "some text that is long enough to be anything at all, but is no HDF5 file");
  EXPECT_THAT(message_of_reading(folder / "text"), HasSubstr("text is not an HDF5 file (72 bytes"));
  write_bytes(folder / "empty", "");
  EXPECT_THAT(message_of_reading(folder / "empty"), HasSubstr("is not an HDF5 file (0 bytes"));
}

TEST(TensorFileDamage, EveryTruncationIsSeenAndCounted) {
  test::TemporaryFolder folder;
  make_file(folder / "good.h5");
  const std::string good = read_bytes(folder / "good.h5");
  std::uint64_t hdf5_size = 0;  // what HDF5 says of itself: superblock version 2, byte 28
  std::memcpy(&hdf5_size, good.data() + 28, sizeof(hdf5_size));
  ASSERT_LT(hdf5_size, good.size());
  const auto path = folder / "short.h5";
  for (std::size_t size = 0; size < good.size(); size += size < 100 || size > hdf5_size - 20 ? 1 : 197) {
    write_bytes(path, good.substr(0, size));
    if (size < 8) {
      EXPECT_THAT(message_of_reading(path), HasSubstr("is not an HDF5 file"));
    } else if (size < 56) {
      EXPECT_THAT(message_of_reading(path),
                  HasSubstr("is truncated (" + std::to_string(size) + " of 56 bytes)"));
    } else if (size < hdf5_size) {
      EXPECT_THAT(message_of_reading(path),
                  HasSubstr(path.string() + " is truncated (" + std::to_string(size) + " of " +
                            std::to_string(hdf5_size) + " bytes)"));
    } else {
      EXPECT_THAT(message_of_reading(path), AllOf(HasSubstr("has no seal"), HasSubstr("truncated")));
    }
  }
}

TEST(TensorFileDamage, FileThatShrinksWhileItIsReadIsTruncated) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const TensorFile file = TensorFile::open(folder / "x.h5");
  std::filesystem::resize_file(folder / "x.h5", 60);
  std::vector<std::byte> bytes(4096);
  EXPECT_THROW(file.read("group/tensor", bytes), InputError);
}

TEST(TensorFileDamage, FlippedBitOfATensorIsNamedWithBothChecksums) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const std::string good = read_bytes(folder / "x.h5");
  const std::size_t begin = good.find(std::string(4096, '\x5A'));
  ASSERT_NE(begin, std::string::npos);
  for (std::size_t i = 0; i < 4096; i += 455) {
    std::string bad = good;
    bad[begin + i] = static_cast<char>(bad[begin + i] ^ (1 << i % 8));
    write_bytes(folder / "x.h5", bad);
    EXPECT_THAT(message_of_reading(folder / "x.h5"),
                AllOf(HasSubstr((folder / "x.h5").string() + ": tensor group/tensor is damaged (checksum "),
                      HasSubstr(" instead of ")));
  }
}

TEST(TensorFileDamage, NoFlippedBitPassesUnnoticed) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5", 100);
  const std::string good = read_bytes(folder / "x.h5");
  for (std::size_t byte = 0; byte < good.size(); byte += 7) {
    std::string bad = good;
    bad[byte] = static_cast<char>(bad[byte] ^ (1 << byte % 8));
    write_bytes(folder / "x.h5", bad);
    EXPECT_NE(message_of_reading(folder / "x.h5"), "no error") << "byte " << byte;
  }
}

TEST(TensorFileDamage, FlippedBitOfANameOrAttributeIsDamage) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const std::string good = read_bytes(folder / "x.h5");
  for (const char* text : {"family: var", "num_bits", "tensor"}) {
    std::string bad = good;
    bad[good.find(text)] ^= 1;
    write_bytes(folder / "x.h5", bad);
    EXPECT_THAT(message_of_reading(folder / "x.h5"),
                HasSubstr("x.h5 is damaged: the checksum of its names and attributes differs"));
  }
}

TEST(TensorFileDamage, FileOfAnotherProgramHasNoSeal) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const std::string good = read_bytes(folder / "x.h5");
  write_bytes(folder / "x.h5", good + std::string(8, 'x'));
  EXPECT_THAT(message_of_reading(folder / "x.h5"), HasSubstr("x.h5 has no seal at its end"));
}

TEST(TensorFileDamage, MissingTensorsAndAttributesAreNamed) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const TensorFile file = TensorFile::open(folder / "x.h5");
  const auto message = [&](auto call) -> std::string {
    try {
      call();
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message([&] { file.info("group/tensr"); }), HasSubstr("x.h5 holds no tensor group/tensr"));
  EXPECT_THAT(message([&] { file.text("", "confg"); }), HasSubstr("the file has no text 'confg'"));
  EXPECT_THAT(message([&] { file.text("group", "num_bits"); }),
              HasSubstr("group group has no text 'num_bits'"));
  EXPECT_THAT(message([&] { file.integer("", "config"); }), HasSubstr("has no integer 'config'"));
  EXPECT_THAT(message([&] { file.integers("nowhere", "x"); }), HasSubstr("no list of integers 'x'"));
}

}  // namespace
}  // namespace bitlaw::data
