// What is wrong with a file or a disk is said, by name, and leaves nothing behind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

std::string contents(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void put_bytes(TensorFile& file, const std::string& name, std::size_t size) {
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(size)};
  file.put(name, DType::uint8, shape, std::vector<std::byte>(size, std::byte{0x5A}));
}

void make_file(const std::filesystem::path& path, std::size_t size = 4096) {
  TensorFile file = TensorFile::create(path);
  put_bytes(file, "group/tensor", size);
  put_bytes(file, "other", 100);
  file.put_text("", "config", "model: {family: var}");
  file.put_integer("group", "num_bits", 3);
  file.commit();
}

// Opens the file and reads all of it.
std::string message_of_reading(const std::filesystem::path& path) {
  try {
    const TensorFile file = TensorFile::open(path);
    for (const std::string& name : file.names()) {
      std::vector<std::byte> bytes(file.info(name).byte_count());
      file.read(name, bytes);
    }
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

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
  write(folder / "text", "some text that is long enough to be anything at all, but is no HDF5 file");
  EXPECT_THAT(message_of_reading(folder / "text"), HasSubstr("text is not an HDF5 file (72 bytes"));
  write(folder / "empty", "");
  EXPECT_THAT(message_of_reading(folder / "empty"), HasSubstr("is not an HDF5 file (0 bytes"));
}

TEST(TensorFileDamage, EveryTruncationIsSeenAndCounted) {
  test::TemporaryFolder folder;
  make_file(folder / "good.h5");
  const std::string good = contents(folder / "good.h5");
  std::uint64_t hdf5_size = 0;  // what HDF5 says of itself: superblock version 2, byte 28
  std::memcpy(&hdf5_size, good.data() + 28, sizeof(hdf5_size));
  ASSERT_LT(hdf5_size, good.size());
  const auto path = folder / "short.h5";
  for (std::size_t size = 0; size < good.size(); size += size < 100 || size > hdf5_size - 20 ? 1 : 197) {
    write(path, good.substr(0, size));
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
  const std::string good = contents(folder / "x.h5");
  const std::size_t begin = good.find(std::string(4096, '\x5A'));
  ASSERT_NE(begin, std::string::npos);
  for (std::size_t i = 0; i < 4096; i += 455) {
    std::string bad = good;
    bad[begin + i] = static_cast<char>(bad[begin + i] ^ (1 << i % 8));
    write(folder / "x.h5", bad);
    EXPECT_THAT(message_of_reading(folder / "x.h5"),
                AllOf(HasSubstr((folder / "x.h5").string() + ": tensor group/tensor is damaged (checksum "),
                      HasSubstr(" instead of ")));
  }
}

TEST(TensorFileDamage, NoFlippedBitPassesUnnoticed) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5", 100);
  const std::string good = contents(folder / "x.h5");
  for (std::size_t byte = 0; byte < good.size(); byte += 7) {
    std::string bad = good;
    bad[byte] = static_cast<char>(bad[byte] ^ (1 << byte % 8));
    write(folder / "x.h5", bad);
    EXPECT_NE(message_of_reading(folder / "x.h5"), "no error") << "byte " << byte;
  }
}

TEST(TensorFileDamage, FlippedBitOfANameOrAttributeIsDamage) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const std::string good = contents(folder / "x.h5");
  for (const char* text : {"family: var", "num_bits", "tensor"}) {
    std::string bad = good;
    bad[good.find(text)] ^= 1;
    write(folder / "x.h5", bad);
    EXPECT_THAT(message_of_reading(folder / "x.h5"),
                HasSubstr("x.h5 is damaged: the checksum of its names and attributes differs"));
  }
}

TEST(TensorFileDamage, FileOfAnotherProgramHasNoSeal) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const std::string good = contents(folder / "x.h5");
  write(folder / "x.h5", good + std::string(8, 'x'));
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

std::string message_of_writing(const std::filesystem::path& path, std::size_t size) {
  try {
    TensorFile file = TensorFile::create(path);
    put_bytes(file, "group/small", 10);
    put_bytes(file, "group/tensor", size);
    file.commit();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(TensorFileUnwritable, MissingFolderIsNamed) {
  test::TemporaryFolder folder;
  EXPECT_THAT(message_of_writing(folder / "no" / "x.h5", 10),
              AllOf(HasSubstr("x.h5"), HasSubstr("cannot create it (No such file or directory)")));
}

// Root may write everywhere: lower the rights for a while.
class WithoutRoot {
 public:
  WithoutRoot() : was_root_(::geteuid() == 0) {
    if (was_root_ && ::seteuid(65534) != 0) {
      throw std::runtime_error("cannot give up root");
    }
  }
  WithoutRoot(const WithoutRoot&) = delete;
  WithoutRoot& operator=(const WithoutRoot&) = delete;
  ~WithoutRoot() {
    if (was_root_ && ::seteuid(0) != 0) {
      std::abort();
    }
  }

 private:
  bool was_root_;
};

TEST(TensorFileUnwritable, ReadOnlyFolderIsNamed) {
  test::TemporaryFolder folder;
  ::chmod(folder.path().c_str(), 0555);
  {
    const WithoutRoot without_root;
    EXPECT_THAT(
        message_of_writing(folder / "x.h5", 10),
        AllOf(HasSubstr((folder / "x.h5").string()), HasSubstr("cannot create it (Permission denied)"),
              HasSubstr("change the permissions")));
  }
  ::chmod(folder.path().c_str(), 0755);
  EXPECT_TRUE(folder.is_empty());
}

// Files may not grow beyond `bytes` while this lives: what a full disk looks like to a writer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit lowered{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &lowered);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(TensorFileUnwritable, FullDiskIsNamedWithTheTensorAndLeavesTheOldFile) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const std::string old = contents(folder / "x.h5");
  for (int attempt = 0; attempt < 3; ++attempt) {
    const FileSizeLimit limit(100000);
    EXPECT_THAT(message_of_writing(folder / "x.h5", 200000),
                AllOf(HasSubstr("tensor group/tensor: "), HasSubstr("x.h5: cannot write it, disk full"),
                      HasSubstr("free space")));
  }
  EXPECT_EQ(contents(folder / "x.h5"), old);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_EQ(message_of_writing(folder / "x.h5", 200000), "no error");  // room again: everything works again
  EXPECT_EQ(message_of_reading(folder / "x.h5"), "no error");
}

// A small file system of its own: the real thing, where one may mount.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& folder) : folder_(folder) {
    std::filesystem::create_directory(folder);
    mounted_ = ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=128k") == 0;
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (mounted_) {
      ::umount(folder_.c_str());
    }
  }
  bool is_mounted() const { return mounted_; }

 private:
  std::filesystem::path folder_;
  bool mounted_ = false;
};

TEST(TensorFileUnwritable, FullFileSystemAtEveryStage) {
  test::TemporaryFolder folder;
  const SmallDisk disk(folder / "disk");
  if (!disk.is_mounted()) {
    std::printf("no file system of 128 KiB: mounting needs root; the size limit above stands for it\n");
    return;
  }
  make_file(folder / "disk" / "old.h5");
  int full = 0;
  for (std::size_t size = 60000; size < 132000;
       size += 1024) {  // full in the tensor, in the metadata, or not
    const std::string message = message_of_writing(folder / "disk" / "x.h5", size);
    if (message == "no error") {
      EXPECT_EQ(message_of_reading(folder / "disk" / "x.h5"), "no error");
      std::filesystem::remove(folder / "disk" / "x.h5");
    } else {
      ++full;
      EXPECT_THAT(message, HasSubstr("disk full (No space left on device)"));
    }
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "disk"), {}), 1) << size;
  }
  EXPECT_GT(full, 3);
  EXPECT_LT(full, 70);
  EXPECT_EQ(message_of_reading(folder / "disk" / "old.h5"), "no error");
}

// Run a second time with HDF5_USE_FILE_LOCKING=FALSE (tests/data/CMakeLists.txt).
TEST(TensorFileLocking, ForeignLockIsAnErrorUnlessLockingIsSwitchedOff) {
  test::TemporaryFolder folder;
  make_file(folder / "x.h5");
  const int other = ::open((folder / "x.h5").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  const char* locking = std::getenv("HDF5_USE_FILE_LOCKING");
  if (locking != nullptr && std::string(locking) == "FALSE") {
    EXPECT_EQ(message_of_reading(folder / "x.h5"), "no error");
  } else {
    EXPECT_THAT(message_of_reading(folder / "x.h5"),
                AllOf(HasSubstr("lock"), HasSubstr("HDF5_USE_FILE_LOCKING=FALSE")));
  }
  ::close(other);
  EXPECT_EQ(message_of_reading(folder / "x.h5"), "no error");
}

}  // namespace
}  // namespace bitlaw::data
