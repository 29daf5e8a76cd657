// Archives as torch.save and Python's zipfile write them, and every way in which a directory can lie.
#include "data/formats/zip_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/crc32.h"
#include "tests/support/memory_file.h"
#include "tests/support/zip_bytes.h"

namespace bitlaw::data {
namespace {

using test::little;
using test::message_of;
using test::ZipPart;
using testing::HasSubstr;

const std::vector<ZipPart> kParts = {{"x/a", "first"}, {"x/b", ""}, {"x/c", std::string(3000, 'c')}};

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What is said about an archive; "" when every entry can be read.
std::string refusal(const std::string& bytes) {
  const test::MemoryFile file(bytes);
  return message_of([&] {
    const ZipArchive archive(file.path());
    for (const auto& [name, entry] : archive.entries()) {
      EXPECT_EQ(archive.read(name, 1 << 20).size(), entry.size);
    }
  });
}

std::string replaced(std::string bytes, std::size_t at, const std::string& with) {
  return bytes.replace(at, with.size(), with);
}

TEST(Crc32, KnownValues) {
  EXPECT_EQ(test::crc_of("123456789"), 0xCBF43926U);  // the check value of the algorithm
  EXPECT_EQ(test::crc_of(""), 0U);
  const std::string text(1000, 'q');
  const auto bytes = std::as_bytes(std::span(text));
  for (const std::size_t split : {0U, 1U, 7U, 8U, 13U, 999U}) {
    EXPECT_EQ(crc32(bytes.subspan(split), crc32(bytes.first(split))), crc32(bytes)) << split;
  }
}

TEST(Zip, EntriesComeBack) {
  const test::MemoryFile file(test::zip_bytes(kParts));
  const ZipArchive archive(file.path());
  ASSERT_EQ(archive.entries().size(), 3U);
  for (const ZipPart& part : kParts) {
    EXPECT_EQ(text_of(archive.read(part.name, 3000)), part.bytes);
    archive.verify(part.name);
  }
  std::vector<std::byte> middle(3);
  archive.read_range("x/a", 1, middle);
  EXPECT_EQ(text_of(middle), "irs");
  EXPECT_EQ(archive.find("x/d"), nullptr);
  EXPECT_THAT(message_of([&] { (void)archive.read("x/d", 1); }), HasSubstr("entry 'x/d' is missing"));
  EXPECT_THAT(message_of([&] { (void)archive.read("x/c", 2999); }), HasSubstr("3000 bytes"));
  EXPECT_EQ(refusal(test::zip_bytes({})), "");
}

TEST(Zip, AnArchiveOfTorchSaveIsOneWith64BitSizes) {
  const ZipArchive archive(std::string(BITLAW_SOURCE_DIR) + "/tests/data/formats/files/plain.pth");
  EXPECT_EQ(text_of(archive.read("plain/byteorder", 10)), "little");
  EXPECT_EQ(text_of(archive.read("plain/version", 10)), "3\n");
  EXPECT_EQ(archive.find("plain/data/0")->offset % 64, 0U);
  EXPECT_EQ(archive.find("plain/data/0")->size, 48U);
}

TEST(ZipHostile, NamesAndDuplicates) {
  EXPECT_THAT(refusal(test::zip_bytes({{"a", "1"}, {"a", "2"}})), HasSubstr("entry 'a' is there twice"));
  EXPECT_THAT(refusal(test::zip_bytes({{"../a", "1"}})), HasSubstr("'../a' has a part '.' or '..'"));
  EXPECT_THAT(refusal(test::zip_bytes({{"/a", "1"}})), HasSubstr("'/a' is an absolute path"));
  EXPECT_THAT(refusal(test::zip_bytes({{std::string("a\0b", 3), "1"}})),
              HasSubstr("'a\\x00b' has a control"));
  EXPECT_THAT(refusal(test::zip_bytes({{"", "1"}})), HasSubstr("is empty"));
}

TEST(ZipHostile, TheEnd) {
  EXPECT_THAT(refusal(""), HasSubstr("no end of a zip archive is found in 0 bytes"));
  EXPECT_THAT(refusal(std::string(100, 'x')), HasSubstr("no end of a zip archive"));
  const std::string good = test::zip_bytes(kParts);
  EXPECT_THAT(refusal(good + "x"), HasSubstr("no end of a zip archive"));
  const std::size_t end = good.size() - 22;
  EXPECT_THAT(refusal(replaced(good, end + 4, little(std::uint16_t{1}))), HasSubstr("one of several parts"));
  EXPECT_THAT(refusal(replaced(good, end + 8, little(std::uint32_t{0x00020002}))), HasSubstr("tells 2"));
  EXPECT_THAT(refusal(replaced(good, end + 12, little(~std::uint32_t{0}))),
              HasSubstr("4294967295 bytes long"));
  EXPECT_THAT(refusal(replaced(good, end + 16, little(std::uint32_t{0}))), HasSubstr("at byte 0"));
  EXPECT_THAT(refusal(replaced(good, end + 16, little(~std::uint32_t{0}))), HasSubstr("at byte 4294967295"));
}

TEST(ZipHostile, TheDirectory) {
  const std::string good = test::zip_bytes(kParts);
  const std::size_t begin = good.find("PK\x01\x02");
  const auto changed = [&](std::size_t at, auto number) {
    return refusal(replaced(good, begin + at, little(number)));
  };
  EXPECT_THAT(changed(0, std::uint32_t{0}), HasSubstr("damaged at its byte 0"));
  EXPECT_THAT(changed(8, std::uint16_t{1}), HasSubstr("tells something else"));
  EXPECT_THAT(changed(10, std::uint16_t{8}), HasSubstr("tells something else"));
  EXPECT_THAT(changed(16, std::uint32_t{5}), HasSubstr("entry 'x/a' has CRC-32"));
  EXPECT_THAT(changed(20, std::uint32_t{6}), HasSubstr("has two sizes"));
  EXPECT_THAT(changed(24, std::uint32_t{6}), HasSubstr("has two sizes"));
  EXPECT_THAT(changed(28, std::uint16_t{2}), HasSubstr("entry 'x/' has a local header"));
  EXPECT_THAT(changed(28, std::uint16_t{0xFFFF}), HasSubstr("ends inside the entry at its byte 0"));
  EXPECT_THAT(changed(42, std::uint32_t{1}), HasSubstr("tells something else"));
  EXPECT_THAT(changed(42, ~std::uint32_t{0}), HasSubstr("inside or behind the directory"));
  EXPECT_THAT(refusal(replaced(good, 26, little(std::uint16_t{2}))), HasSubstr("tells something else"));
  EXPECT_THAT(refusal(replaced(good, 28, little(std::uint16_t{0xFFFF}))), HasSubstr("inside or behind"));
  EXPECT_THAT(refusal(replaced(good, 30, "y")), HasSubstr("tells something else"));
}

TEST(ZipHostile, EntriesThatOverlapLeaveHolesOrAreCompressed) {
  const ZipPart part{"a", "0123456789"};
  const ZipPart inner{"b", "1"};
  const std::string hidden = test::zip_local({"a", test::zip_local(inner)});
  const std::size_t inner_at = hidden.size() - test::zip_local(inner).size();
  std::string directory =
      test::zip_central({"a", test::zip_local(inner)}, 0) + test::zip_central(inner, inner_at);
  EXPECT_THAT(refusal(hidden + directory + test::zip_end(2, directory.size(), hidden.size())),
              HasSubstr("they overlap"));
  const std::string far = std::string(25, '\0') + test::zip_local(part);
  directory = test::zip_central(part, 25);
  EXPECT_THAT(refusal(far + directory + test::zip_end(1, directory.size(), far.size())),
              HasSubstr("there is a hole"));

  std::string packed = test::zip_bytes({part});
  packed = replaced(packed, 8, little(std::uint16_t{8}));
  packed = replaced(packed, packed.find("PK\x01\x02") + 10, little(std::uint16_t{8}));
  EXPECT_THAT(refusal(packed), HasSubstr("entry 'a' is compressed or encrypted"));
}

TEST(ZipHostile, EveryTruncationAndEveryFlippedBitIsRefusedOrRead) {
  const std::string good =
      test::read_bytes(std::string(BITLAW_SOURCE_DIR) + "/tests/data/formats/files/tensor.pth");
  ASSERT_EQ(refusal(good), "");
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(refusal(good.substr(0, size)), "") << size;
  }
  for (std::size_t bit = 0; bit < good.size() * 8; bit += 3) {  // two or three of each byte's
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    refusal(bad);
  }
}

}  // namespace
}  // namespace bitlaw::data
