// Whole reads and writes, atomic replacement, and errors with the system's own words.
#include "data/formats/file_io.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(FileIo, TextComesBackAndReplacesAtomically) {
  test::TemporaryFolder folder;
  write_text_file(folder / "a.json", "first");
  EXPECT_EQ(read_text_file(folder / "a.json"), "first");
  write_text_file(folder / "a.json", std::string("second\0line", 11));
  EXPECT_EQ(read_text_file(folder / "a.json"), std::string("second\0line", 11));
  write_text_file(folder / "empty", "");
  EXPECT_EQ(read_text_file(folder / "empty"), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

TEST(FileIo, FailedWriteLeavesNothing) {
  test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "taken");
  EXPECT_THAT(message_of([&] { write_text_file(folder / "taken", "x"); }), HasSubstr("taken: cannot"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_THAT(message_of([&] { write_text_file(folder / "no" / "x", "x"); }),
              AllOf(HasSubstr("cannot create it"), HasSubstr("No such file or directory")));
}

TEST(FileIo, MissingFileIsNamed) {
  EXPECT_THAT(message_of([] { read_text_file("/nowhere/file"); }), HasSubstr("/nowhere/file is missing"));
}

TEST(FileIo, FullDeviceIsADiskThatIsFull) {
  const FileHandle full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const std::string text = "x";
  EXPECT_THAT(message_of([&] { write_fully(full, std::as_bytes(std::span(text)), 0, "some/file"); }),
              AllOf(HasSubstr("some/file: cannot write it, disk full (No space left on device)"),
                    HasSubstr("[the file is needed whole]; free space")));
}

TEST(FileIo, ErrorsSayWhatToDo) {
  const auto error = [](int code) { return std::string(file_error("p", "write it", code).what()); };
  EXPECT_THAT(error(EDQUOT), AllOf(HasSubstr("disk full"), HasSubstr("free space")));
  EXPECT_THAT(error(EROFS), AllOf(HasSubstr("Read-only file system"), HasSubstr("permissions")));
  EXPECT_THAT(error(EIO), AllOf(HasSubstr("Input/output error"), HasSubstr("storage")));
}

TEST(FileIo, ReadBeyondTheEndIsTruncation) {
  test::TemporaryFolder folder;
  write_text_file(folder / "x", "12345");
  const FileHandle file = open_for_reading(folder / "x");
  std::vector<std::byte> bytes(4);
  EXPECT_THAT(message_of([&] { read_fully(file, bytes, 3, folder / "x"); }),
              HasSubstr("truncated (5 of 7 bytes)"));
  EXPECT_EQ(message_of([&] { read_fully(file, bytes, 1, folder / "x"); }), "");
}

TEST(FileHandle, MovesOwnership) {
  FileHandle a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int descriptor = a.get();
  FileHandle b(std::move(a));
  EXPECT_EQ(b.get(), descriptor);
  FileHandle c;
  c = std::move(b);
  EXPECT_EQ(c.get(), descriptor);
  EXPECT_TRUE(c.is_open());
}

}  // namespace
}  // namespace bitlaw::data
