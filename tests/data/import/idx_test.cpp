#include "data/import/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <zlib.h>

#include "tests/data/shard_samples.h"
#include "tests/support/idx_files.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using test::idx_bytes;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

const std::string kValues = "abcdefghijkl";

class Idx : public testing::Test {
 protected:
  std::string error_of(const std::string& bytes) {
    test::set_bytes(path_, bytes);
    return message_of([&] { read_idx(path_); });
  }
  const test::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "x-idx3-ubyte";
};

TEST_F(Idx, ReadsPlainAndGzip) {
  for (const bool zipped : {false, true}) {
    const std::string plain = idx_bytes({2, 3, 2}, kValues);
    test::set_bytes(path_, zipped ? test::gzip(plain) : plain);
    const IdxArray array = read_idx(path_);
    EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3, 2}));
    EXPECT_EQ(std::string(array.values.begin(), array.values.end()), kValues);
  }
}

TEST_F(Idx, RefusesWhatIsNotIdx) {
  EXPECT_THAT(error_of(""), HasSubstr("does not begin like IDX"));
  EXPECT_THAT(error_of("PNG..."), HasSubstr("does not begin like IDX"));
  EXPECT_THAT(error_of(std::string("\0\0\x0D\1", 4)), HasSubstr("holds type 13, not uint8 (8)"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\0", 4)), HasSubstr("has 0 dimensions"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\x09", 4)), HasSubstr("has 9 dimensions"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\x03\0\0\0\1\0", 9)), HasSubstr("ends in its header"));
  EXPECT_THAT(message_of([&] { read_idx(folder_ / "absent"); }), HasSubstr("absent cannot be opened"));
}

TEST_F(Idx, TruncatedTellsTheBytes) {
  const std::string whole = idx_bytes({2, 3, 2}, kValues);
  EXPECT_THAT(error_of(whole.substr(0, whole.size() - 5)),
              AllOf(HasSubstr("x-idx3-ubyte is truncated (7 of 12 bytes of samples)"),
                    HasSubstr("fetch the file again")));
  EXPECT_THAT(error_of(test::gzip(whole.substr(0, whole.size() - 5))),
              HasSubstr("(7 of 12 bytes of samples)"));
  EXPECT_THAT(error_of(whole + "z"), HasSubstr("has bytes after its last sample"));
}

TEST_F(Idx, ClaimsOfTheHeaderTakeNoMemory) {
  EXPECT_THAT(error_of(idx_bytes({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "")), HasSubstr("impossible size"));
  EXPECT_THAT(error_of(idx_bytes({1u << 30, 16, 16}, "abc")), HasSubstr("(3 of 274877906944 bytes"));
  EXPECT_THAT(error_of(idx_bytes({0, 0xFFFFFFFF, 0xFFFFFFFF}, "")), HasSubstr("impossible size"));
}

TEST_F(Idx, AnEmptyArrayIsNoDamage) {
  EXPECT_EQ(error_of(idx_bytes({0, 28, 28}, "")), "");
  EXPECT_TRUE(read_idx(path_).values.empty());
  EXPECT_THAT(error_of(idx_bytes({0, 28, 28}, "x")), HasSubstr("has bytes after its last sample"));
}

TEST_F(Idx, DamagedGzipIsRefused) {
  const std::string zipped = test::gzip(idx_bytes({2, 3, 2}, kValues));
  int unnoticed = 0;
  for (std::size_t i = 10; i < zipped.size(); ++i) {  // after gzip's own header
    std::string damaged = zipped;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    if (error_of(damaged).empty()) {  // the bits that fill up the last byte of the data mean nothing
      const IdxArray array = read_idx(path_);
      EXPECT_EQ(std::string(array.values.begin(), array.values.end()), kValues) << i;
      ++unnoticed;
    }
  }
  EXPECT_LE(unnoticed, 1);
  for (std::size_t size = 11; size < zipped.size(); ++size) {
    EXPECT_THAT(error_of(zipped.substr(0, size)), HasSubstr("is truncated")) << size;
  }
}

}  // namespace
}  // namespace bitlaw::data
