// A place that cannot be written is named, and leaves nothing behind; locks are obeyed.
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
#include <filesystem>
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
using testing::AllOf;
using testing::HasSubstr;

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
  const std::string old = read_bytes(folder / "x.h5");
  for (int attempt = 0; attempt < 3; ++attempt) {
    const FileSizeLimit limit(100000);
    EXPECT_THAT(message_of_writing(folder / "x.h5", 200000),
                AllOf(HasSubstr("tensor group/tensor: "), HasSubstr("x.h5: cannot write it, disk full"),
                      HasSubstr("free space")));
  }
  EXPECT_EQ(read_bytes(folder / "x.h5"), old);
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
