// Files of the gguf package, round trips, and every way in which a header can lie.
#include "data/formats/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/file_bytes.h"
#include "tests/support/memory_file.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using test::little;
using test::message_of;
using testing::HasSubstr;

std::string text(const std::string& value) {
  return little(std::uint64_t{value.size()}) + value;
}

std::string head(std::uint64_t tensors, std::uint64_t values) {
  return "GGUF" + little(std::uint32_t{3}) + little(tensors) + little(values);
}

std::string info(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                 std::uint64_t offset) {
  std::string bytes = text(name) + little(static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t extent : dims) {
    bytes += little(extent);
  }
  return bytes + little(type) + little(offset);
}

std::string padded(std::string bytes, std::size_t alignment = 32) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
  return bytes;
}

// What is said about a file; "" when every tensor can be read.
std::string refusal(const std::string& bytes) {
  const test::MemoryFile file(bytes);
  return message_of([&] {
    const GgufReader reader(file.path());
    for (const GgufTensorInfo& tensor : reader.header().tensors) {
      EXPECT_EQ(reader.read(tensor.name).size(), tensor.bytes);
    }
  });
}

// One tensor of one row of 32 elements, and its bytes.
std::string one_tensor(const std::vector<std::uint64_t>& dims, std::uint32_t type, std::uint64_t offset,
                       std::size_t data_bytes) {
  return padded(head(1, 0) + info("w", dims, type, offset)) + std::string(data_bytes, 'd');
}

std::string one_value(std::uint32_t type, const std::string& value) {
  return head(0, 1) + text("key") + little(type) + value;
}

std::vector<std::byte> counted(std::size_t size, std::size_t salt) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 37 + salt) & 255U);
  }
  return bytes;
}

std::string hex(std::span<const std::byte> bytes) {
  std::string digits;
  for (const std::byte byte : bytes) {
    digits.push_back("0123456789abcdef"[static_cast<unsigned>(byte) >> 4U]);
    digits.push_back("0123456789abcdef"[static_cast<unsigned>(byte) & 15U]);
  }
  return digits;
}

TEST(Gguf, FileOfTheGgufPackageIsRead) {
  const GgufReader reader(std::string(BITLAW_SOURCE_DIR) + "/tests/data/formats/files/peer.gguf");
  const auto value = [&](const char* key) { return *reader.find_value(key); };
  EXPECT_EQ(value("general.architecture"), GgufValue(std::string("var")));
  EXPECT_EQ(value("general.name"), GgufValue(std::string("peer")));
  EXPECT_EQ(value("t.u8"), GgufValue(std::uint8_t{200}));
  EXPECT_EQ(value("t.i8"), GgufValue(std::int8_t{-100}));
  EXPECT_EQ(value("t.u16"), GgufValue(std::uint16_t{60000}));
  EXPECT_EQ(value("t.i16"), GgufValue(std::int16_t{-30000}));
  EXPECT_EQ(value("t.u32"), GgufValue(std::uint32_t{4000000000}));
  EXPECT_EQ(value("t.i32"), GgufValue(std::int32_t{-2000000000}));
  EXPECT_EQ(value("t.f32"), GgufValue(0.5F));
  EXPECT_EQ(value("t.bool"), GgufValue(true));
  EXPECT_EQ(value("t.u64"), GgufValue((std::uint64_t{1} << 63U) + 1));
  EXPECT_EQ(value("t.i64"), GgufValue(-(std::int64_t{1} << 62)));
  EXPECT_EQ(value("t.f64"), GgufValue(-0.25));
  EXPECT_EQ(value("t.words"), GgufValue(GgufArray{std::vector<std::string>{"", "a", "ä\u0416"}}));
  EXPECT_EQ(value("t.numbers"), GgufValue(GgufArray{std::vector<std::int32_t>{3, -4, 5}}));
  EXPECT_EQ(reader.find_value("t.words "), nullptr);

  ASSERT_EQ(reader.header().tensors.size(), 4U);
  EXPECT_EQ(reader.info("plain").dims, (std::vector<std::uint64_t>{3, 2}));
  EXPECT_EQ(hex(reader.read("plain")), "000000000000803f0000004000004040000080400000a040");
  // Blocks of x_i = (i - 16) / 8, known vectors of these types.
  EXPECT_EQ(reader.info("q4_0").type, GgmlType::q4_0);
  EXPECT_EQ(hex(reader.read("q4_0")), "0034809191a2a2b3b3c4c4d5d5e6e6f7f7f8");
  EXPECT_EQ(hex(reader.read("mxfp4")), "7e0e0e1d1d2d2d3c3c4c4b4b5a5a595960");
  EXPECT_EQ(hex(reader.read("q8_0")).substr(0, 8), "08248189");
  EXPECT_THAT(message_of([&] { (void)reader.read("q5_0"); }), HasSubstr("tensor 'q5_0' is missing"));
}

TEST(Gguf, EveryValueAndEveryTypeComesBack) {
  const test::TemporaryFolder folder;
  GgufHeader header;
  const GgufArray inner{std::vector<std::string>{"x", std::string("y\0z", 3)}};
  header.values = {{"general.architecture", std::string("var")},
                   {"general.alignment", std::uint32_t{64}},
                   {"a.u8", GgufArray{std::vector<std::uint8_t>{1, 255}}},
                   {"a.bool", GgufArray{std::vector<bool>{true, false, true}}},
                   {"a.f64", GgufArray{std::vector<double>{-0.5}}},
                   {"a.none", GgufArray{std::vector<std::int16_t>{}}},
                   {"a.nested", GgufArray{std::vector<GgufArray>{inner, {std::vector<float>{1.5F}}, inner}}},
                   {"bool", false},
                   {"i64", std::int64_t{-5}}};
  for (const GgmlTypeFacts& facts : ggml_types()) {
    header.tensors.push_back({std::string(facts.name), facts.type, {facts.block_elements * 2, 3}});
    header.tensors.push_back({"e." + std::string(facts.name), facts.type, {facts.block_elements, 0, 2, 1}});
  }
  const auto bytes_of = [](const std::string& name) {
    for (const GgmlTypeFacts& facts : ggml_types()) {
      if (facts.name == name) {
        return counted(facts.block_bytes * 6, name.size());
      }
    }
    return std::vector<std::byte>();
  };
  write_gguf(folder / "x.gguf", header, bytes_of);
  const GgufReader reader(folder / "x.gguf");
  EXPECT_EQ(reader.header().values, header.values);
  ASSERT_EQ(reader.header().tensors.size(), header.tensors.size());
  for (const GgufTensorInfo& tensor : header.tensors) {
    const GgufTensorInfo& found = reader.info(tensor.name);
    EXPECT_EQ(found.type, tensor.type);
    EXPECT_EQ(found.dims, tensor.dims);
    EXPECT_EQ(found.offset % 64, 0U);
    EXPECT_EQ(reader.read(tensor.name), bytes_of(tensor.name)) << tensor.name;
  }
}

TEST(Gguf, LayoutIsThatOfTheFormat) {
  const test::TemporaryFolder folder;
  GgufHeader header;
  header.values = {{"key", std::uint8_t{7}}};
  header.tensors = {{"w", GgmlType::f16, {3, 1}}};
  write_gguf(folder / "x", header, [](const std::string&) { return counted(6, 0); });
  EXPECT_EQ(
      test::read_bytes(folder / "x"),
      padded(padded(head(1, 1) + text("key") + little(std::uint32_t{0}) + "\x07" + info("w", {3, 1}, 1, 0)) +
             std::string("\0\x25\x4A\x6F\x94\xB9", 6)));
}

TEST(GgufHostile, OtherFilesAndVersions) {
  EXPECT_EQ(refusal(head(0, 0)), "");
  EXPECT_THAT(refusal("GGML" + head(0, 0).substr(4)), HasSubstr("does not begin with GGUF"));
  EXPECT_THAT(refusal("GGUF" + little(std::uint32_t{2}) + head(0, 0).substr(8)),
              HasSubstr("version 2 of GGUF"));
  EXPECT_THAT(refusal("GGUF" + std::string("\0\0\0\3", 4) + head(0, 0).substr(8)), HasSubstr("big-endian"));
  EXPECT_THAT(refusal(head(0, 0) + std::string(40, '\0')), HasSubstr("belong to no tensor"));
  EXPECT_THAT(refusal(head(1, 0)), HasSubstr("the name of a tensor needs 8 bytes"));
  EXPECT_THAT(refusal(head(0, 1)), HasSubstr("the name of a key needs 8 bytes"));
}

TEST(GgufHostile, Values) {
  EXPECT_EQ(refusal(one_value(7, "\x01")), "");
  EXPECT_THAT(refusal(one_value(7, "\x02")), HasSubstr("key 'key' has the truth value 2"));
  EXPECT_THAT(refusal(one_value(13, "")), HasSubstr("key 'key' has the unknown type 13"));
  EXPECT_THAT(refusal(one_value(8, little(std::uint64_t{5}) + "abcd")),
              HasSubstr("a text of 5 bytes, 4 are left"));
  EXPECT_THAT(refusal(one_value(8, little(~std::uint64_t{0}))), HasSubstr("18446744073709551615 bytes"));
  const auto array = [](std::uint32_t type, std::uint64_t count) { return little(type) + little(count); };
  EXPECT_EQ(refusal(one_value(9, array(0, 2) + "ab")), "");
  EXPECT_THAT(refusal(one_value(9, array(0, 3) + "ab")), HasSubstr("an array of 3 elements, 2 bytes"));
  EXPECT_THAT(refusal(one_value(9, array(10, std::uint64_t{1} << 61U))), HasSubstr("0 bytes are left"));
  EXPECT_THAT(refusal(one_value(9, array(13, 1))), HasSubstr("the unknown type 13"));
  std::string deep;
  for (int i = 0; i < 4; ++i) {
    deep += array(9, 1);
  }
  EXPECT_THAT(refusal(one_value(9, deep + array(0, 0))), HasSubstr("more than 4 levels"));
  EXPECT_EQ(refusal(one_value(9, deep.substr(12) + array(0, 0))), "");
  const std::string pair = text("k") + little(std::uint32_t{0}) + "a";
  EXPECT_THAT(refusal(head(0, 2) + pair + pair), HasSubstr("key 'k' is there twice"));
  for (const std::uint32_t alignment : {0U, 3U, 1U << 21U}) {
    const std::string value = text("general.alignment") + little(std::uint32_t{4}) + little(alignment);
    EXPECT_THAT(refusal(head(0, 1) + value), HasSubstr("general.alignment is not a power of two"));
  }
  EXPECT_THAT(refusal(head(0, 1) + text("general.alignment") + little(std::uint32_t{0}) + " "),
              HasSubstr("not a power of two of type u32"));
}

// Small things in the file that are large ones in memory.
TEST(GgufHostile, CountsAreBounded) {
  for (const std::string& claim :
       {head(kMostGgufNames + 1, 0), head(0, kMostGgufNames + 1), head(~std::uint64_t{0}, 0)}) {
    EXPECT_THAT(refusal(claim), HasSubstr("at most 262144 of each are read"));
  }
  const std::uint64_t many = kMostGgufObjects + 1;
  const std::string texts = little(std::uint32_t{8}) + little(many) + std::string(many * 8, '\0');
  EXPECT_THAT(refusal(one_value(9, texts)), HasSubstr("a header has at most 4194304"));
}

TEST(GgufHostile, Tensors) {
  EXPECT_EQ(refusal(one_tensor({32, 2}, 2, 0, 36)), "");
  EXPECT_EQ(refusal(one_tensor({32, 2}, 2, 0, 64)), "");
  EXPECT_THAT(refusal(one_tensor({32, 2}, 2, 0, 35)), HasSubstr("tensor 'w' has 36 bytes at byte 0 of 35"));
  EXPECT_THAT(refusal(one_tensor({32, 2}, 2, 0, 65)), HasSubstr("belong to no tensor"));
  EXPECT_THAT(refusal(one_tensor({32, 2}, 2, 32, 96)), HasSubstr("begins at byte 32 of the data, not at 0"));
  EXPECT_THAT(refusal(one_tensor({32, 2}, 2, ~std::uint64_t{0} - 31, 36)),
              HasSubstr("36 bytes at byte 1844"));
  EXPECT_THAT(refusal(one_tensor({31, 2}, 2, 0, 36)),
              HasSubstr("rows of 31 elements, no whole blocks of Q4_0"));
  EXPECT_THAT(refusal(one_tensor({32, 2}, 4, 0, 36)), HasSubstr("the unknown ggml type 4"));
  EXPECT_THAT(refusal(one_tensor({32, 2}, 1000, 0, 36)), HasSubstr("the unknown ggml type 1000"));
  EXPECT_THAT(refusal(one_tensor({}, 0, 0, 4)), HasSubstr("has 0 dimensions"));
  EXPECT_THAT(refusal(one_tensor({1, 1, 1, 1, 1}, 0, 0, 4)), HasSubstr("has 5 dimensions"));
  const std::uint64_t large = std::uint64_t{1} << 32U;
  EXPECT_THAT(refusal(one_tensor({large, large}, 24, 0, 0)), HasSubstr("more elements than any file"));
  EXPECT_THAT(refusal(one_tensor({large, large, 0}, 24, 0, 0)), HasSubstr("more elements than any file"));
  EXPECT_THAT(refusal(one_tensor({std::uint64_t{1} << 62U}, 0, 0, 0)), HasSubstr("more elements"));
  EXPECT_THAT(refusal(one_tensor({std::uint64_t{1} << 63U}, 24, 0, 0)), HasSubstr("more elements"));
}

TEST(GgufHostile, NamesAndPlaces) {
  const auto two = [](const std::string& name, std::uint64_t first, std::uint64_t second, std::size_t bytes) {
    return padded(head(2, 0) + info("a", {8}, 0, first) + info(name, {8}, 0, second)) +
           std::string(bytes, 'd');
  };
  EXPECT_EQ(refusal(two("b", 0, 32, 64)), "");
  EXPECT_EQ(refusal(two("b", 32, 0, 64)), "");
  EXPECT_THAT(refusal(two("a", 0, 32, 64)), HasSubstr("tensor 'a' is there twice"));
  EXPECT_THAT(refusal(two("b", 0, 0, 64)), HasSubstr("begins at byte 0 of the data, not at 32"));
  EXPECT_THAT(refusal(two("b", 0, 16, 64)), HasSubstr("begins at byte 16"));
  EXPECT_THAT(refusal(two("b", 0, 64, 96)), HasSubstr("begins at byte 64"));
  EXPECT_THAT(refusal(two("", 0, 32, 64)), HasSubstr("is empty"));
  EXPECT_THAT(refusal(two("../b", 0, 32, 64)), HasSubstr("the name '../b' of a tensor has a part"));
  EXPECT_THAT(refusal(two(std::string("b\0", 2), 0, 32, 64)), HasSubstr("control character"));
  EXPECT_THAT(refusal(two("\xC0\xAF", 0, 32, 64)), HasSubstr("'\\xc0\\xaf' of a tensor is not UTF-8"));
}

TEST(GgufHostile, EveryTruncationAndEveryFlippedBitIsRefusedOrRead) {
  const std::string good =
      test::read_bytes(std::string(BITLAW_SOURCE_DIR) + "/tests/data/formats/files/peer.gguf");
  const std::size_t last = good.size() - 32;  // zeros up to the alignment may be missing
  for (std::size_t size = 0; size <= last; ++size) {
    EXPECT_NE(refusal(good.substr(0, size)), "") << size;
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    refusal(bad);
  }
}

TEST(GgufWriting, WhatAReaderWouldRefuseIsNotWritten) {
  const test::TemporaryFolder folder;
  const auto path = folder / "x";
  const auto refused = [&](const GgufHeader& header) {
    EXPECT_THROW(write_gguf(path, header, [](const std::string&) { return counted(4, 0); }),
                 std::invalid_argument);
  };
  const GgufTensorInfo good{"a", GgmlType::f32, {1}};
  refused({{}, {good, good}});
  refused({{}, {{"a", GgmlType::f32, {2}}}});
  refused({{}, {{"a", GgmlType::q4_0, {31}}}});
  refused({{}, {{std::string(64, 'a'), GgmlType::f32, {1}}}});
  refused({{}, {{"/a", GgmlType::f32, {1}}}});
  refused({{{"k", true}, {"k", true}}, {good}});
  refused({{{"general.alignment", std::uint32_t{24}}}, {good}});
  GgufArray deep{std::vector<float>{}};
  for (int i = 0; i < kDeepestGgufArray; ++i) {
    deep = GgufArray{std::vector<GgufArray>{deep}};
  }
  refused({{{"k", deep}}, {good}});
  EXPECT_TRUE(folder.is_empty());
  write_gguf(path, {{}, {good}}, [](const std::string&) { return counted(4, 0); });
  EXPECT_EQ(GgufReader(path).read("a"), counted(4, 0));
}

}  // namespace
}  // namespace bitlaw::data
