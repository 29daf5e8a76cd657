// The golden file byte for byte, round trips, and every way in which a header can lie.
#include "data/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "data/formats/safetensors_header.h"
#include "tests/support/file_bytes.h"
#include "tests/support/memory_file.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

using test::little;
using test::message_of;
using testing::HasSubstr;

RawTensor counted(DType dtype, std::vector<std::int64_t> shape, int salt = 0) {
  RawTensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.resize(*byte_count(dtype, tensor.shape));
  for (std::size_t i = 0; i < tensor.bytes.size(); ++i) {
    tensor.bytes[i] = static_cast<std::byte>((i * 37 + static_cast<std::size_t>(salt)) & 255U);
  }
  return tensor;
}

std::string with_header(const std::string& json, std::size_t data_bytes) {
  return little(std::uint64_t{json.size()}) + json + std::string(data_bytes, 'd');
}

// What is said about a file of this header and so many bytes of data; "" when it is read.
std::string refusal(const std::string& json, std::size_t data_bytes) {
  const test::MemoryFile file(with_header(json, data_bytes));
  const std::string message = message_of([&] { read_safetensors(file.path()); });
  EXPECT_TRUE(message.empty() || message.find(file.path().string()) == 0) << message;
  return message;
}

TEST(Safetensors, GoldenFile) {
  const test::TemporaryFolder folder;
  RawTensor tensor{DType::float32, {2}, {}};
  for (const int byte : {0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0xC0}) {
    tensor.bytes.push_back(static_cast<std::byte>(byte));  // 1, -2
  }
  const SafetensorsFile file{{{"a", tensor}}, {}};
  write_safetensors(folder / "a.safetensors", file);
  EXPECT_EQ(test::read_bytes(folder / "a.safetensors"),
            std::string("\x38\0\0\0\0\0\0\0", 8) +
                R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  )" +
                std::string("\0\0\x80\x3F\0\0\0\xC0", 8));
  EXPECT_EQ(read_safetensors(folder / "a.safetensors"), file);
}

TEST(Safetensors, EveryTypeComesBackAndWideOnesLieFirst) {
  const test::TemporaryFolder folder;
  SafetensorsFile file;
  for (const auto& [name, dtype] : kSafetensorsTypes) {
    file.tensors.emplace("m/" + std::string(name), counted(dtype, {3, 8}, 5));
    file.tensors.emplace("e/" + std::string(name), counted(dtype, {4, 0}));
    if (bits_of(dtype) % 8 == 0) {
      file.tensors.emplace("s/" + std::string(name), counted(dtype, {}, 9));
    }
  }
  file.metadata = {{"format", "pt"}, {"quote", "a \"b\" \\ \n ä"}};
  write_safetensors(folder / "x.safetensors", file);
  EXPECT_EQ(read_safetensors(folder / "x.safetensors"), file);
  EXPECT_EQ(test::read_bytes(folder / "x.safetensors").find('{') % 8, 0U);

  const SafetensorsReader reader(folder / "x.safetensors");
  EXPECT_EQ(reader.entry("e/U64").begin, 0U);
  EXPECT_EQ(reader.entry("m/U64").begin, 0U);
  EXPECT_EQ(reader.entry("s/U64").begin, 192U);
  EXPECT_EQ(reader.entry("m/I64").begin, 200U);
  EXPECT_LT(reader.entry("m/F32").end, reader.entry("m/BF16").end);
  EXPECT_LT(reader.entry("m/U8").end, reader.entry("m/F4").end);
  EXPECT_EQ(reader.entry("m/F4").end - reader.entry("m/F4").begin, 12U);
  EXPECT_EQ(reader.entry("m/F6_E2M3").end - reader.entry("m/F6_E2M3").begin, 18U);
  EXPECT_EQ(reader.read("m/BF16"), file.tensors.at("m/BF16"));
  EXPECT_THAT(message_of([&] { (void)reader.entry("m/F16 "); }), HasSubstr("tensor 'm/F16 ' is missing"));
}

TEST(Safetensors, AnEmptyFileAndLeadingWhiteSpaceAreRead) {
  EXPECT_EQ(refusal("{}", 0), "");
  EXPECT_EQ(refusal(" \n{ }\t ", 0), "");
  EXPECT_EQ(refusal(R"({"__metadata__":{}})", 0), "");
  EXPECT_EQ(refusal(R"({"b":{"shape":[2],"data_offsets":[1,3],"dtype":"U8"},"a":{"dtype":"I8","shape":[],)"
                    R"("data_offsets":[0,1]}})",
                    3),
            "");
}

TEST(SafetensorsHostile, SizesOfTheHeader) {
  const auto refused = [&](const std::string& bytes) {
    const test::MemoryFile file(bytes);
    return message_of([&] { const SafetensorsReader reader(file.path()); });
  };
  EXPECT_THAT(refused(""), HasSubstr("truncated (0 of 8 bytes)"));
  EXPECT_THAT(refused("1234567"), HasSubstr("truncated (7 of 8 bytes)"));
  EXPECT_THAT(refused(little(std::uint64_t{3}) + "{}"), HasSubstr("the header has 3 bytes, the file 10"));
  EXPECT_THAT(refused(little(std::uint64_t{100'000'001}) + "{}"), HasSubstr("a header of 100000001 bytes"));
  EXPECT_THAT(refused(little(~std::uint64_t{0}) + "{}"), HasSubstr("18446744073709551615"));
  EXPECT_THAT(refused(little(std::uint64_t{0})), HasSubstr("the header is not JSON"));
}

TEST(SafetensorsHostile, JsonThatIsNotOfTheFormat) {
  EXPECT_THAT(refusal("", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("the header has a list"));
  EXPECT_THAT(refusal("7", 0), HasSubstr("the header has the number 7"));
  EXPECT_THAT(refusal("{} {}", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{}x", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(std::string("{}\0\0", 4), 0), HasSubstr("a byte 0"));
  EXPECT_THAT(refusal(R"({"a":)", 0), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(R"({"a":{"b":{"c":1}}})", 0), HasSubstr("'b', unknown or twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":{}}})", 0), HasSubstr("has an object where 'dtype'"));
  EXPECT_THAT(refusal(R"({"a":{"shape":[[1]]}})", 0), HasSubstr("has a list where 'shape'"));
  EXPECT_THAT(refusal(R"({"a":[]})", 0), HasSubstr("has a list"));
  EXPECT_THAT(refusal(R"({"a":null})", 0), HasSubstr("null"));
  EXPECT_THAT(refusal(R"({"a":true})", 0), HasSubstr("truth value"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":1}})", 0), HasSubstr("the number 1 where 'a'"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":{}}})", 0), HasSubstr("an object where 'a'"));
  EXPECT_THAT(refusal(R"({"__metadata__":"a"})", 0), HasSubstr("the text 'a'"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":"1","a":"2"}})", 0), HasSubstr("'a' is there twice"));
  EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0),
              HasSubstr("__metadata__ is there twice"));
  EXPECT_THAT(refusal(std::string(100'000, '[') + std::string(100'000, ']'), 0), HasSubstr("a list"));
  EXPECT_THAT(refusal("{\"\xFF\":{}}", 0), HasSubstr("not JSON"));
}

std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}}";
}

TEST(SafetensorsHostile, ShapesAndOffsetsThatLie) {
  EXPECT_EQ(refusal(one_tensor("F32", "2", "0,8"), 8), "");
  EXPECT_THAT(refusal(one_tensor("F33", "2", "0,8"), 8), HasSubstr("tensor 'w' has the unknown dtype 'F33'"));
  EXPECT_THAT(refusal(one_tensor("F32", "3", "0,8"), 8), HasSubstr("has 8 bytes, its shape needs 12"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "0,8"), 7), HasSubstr("ends at byte 8 of 7"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "0,8"), 9), HasSubstr("1 bytes at the end belong to no tensor"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "4,12"), 12), HasSubstr("ends at 0: there is a hole"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "8,0"), 8), HasSubstr("not [begin, end]"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "0"), 8), HasSubstr("not [begin, end]"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "0,4,8"), 8), HasSubstr("the number 8"));
  EXPECT_THAT(refusal(one_tensor("F32", "-2", "0,8"), 8), HasSubstr("the number -2"));
  EXPECT_THAT(refusal(one_tensor("F32", "2.0", "0,8"), 8), HasSubstr("the number 2.0"));
  EXPECT_THAT(refusal(one_tensor("F32", "2e0", "0,8"), 8), HasSubstr("the number 2e0"));
  EXPECT_THAT(refusal(one_tensor("F32", "9223372036854775808", "0,8"), 8), HasSubstr("9223372036854775808"));
  EXPECT_THAT(refusal(one_tensor("F32", "99999999999999999999", "0,8"), 8), HasSubstr("the number 99999"));
  EXPECT_THAT(refusal(one_tensor("F32", "2", "0,18446744073709551615"), 8),
              HasSubstr("ends at byte 1844674"));
  // Products that wrap round: 2^32 x 2^32, and x 0, and 2^62 elements of four bytes.
  EXPECT_THAT(refusal(one_tensor("U8", "4294967296,4294967296", "0,0"), 0), HasSubstr("no file can hold"));
  EXPECT_THAT(refusal(one_tensor("U8", "0,4294967296,4294967296", "0,0"), 0), HasSubstr("no file can hold"));
  EXPECT_THAT(refusal(one_tensor("F32", "4611686018427387904", "0,0"), 0), HasSubstr("no file can hold"));
  EXPECT_THAT(refusal(one_tensor("F4", "3", "0,2"), 2), HasSubstr("ends inside a byte"));
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) {
    ones += ",1";
  }
  EXPECT_THAT(refusal(one_tensor("U8", ones, "0,1"), 1), HasSubstr("the number 1 where 'shape'"));
  EXPECT_THAT(refusal(R"({"w":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("lacks one of"));
  EXPECT_THAT(refusal(R"({"w":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("'shape', unknown or twice"));
}

TEST(SafetensorsHostile, TensorsThatOverlapLeaveHolesOrShareANameAreRefused) {
  const auto two = [](const std::string& first, const std::string& second, const std::string& name = "b") {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[)" + first + R"(]},")" + name +
           R"(":{"dtype":"U8","shape":[4],"data_offsets":[)" + second + "]}}";
  };
  EXPECT_EQ(refusal(two("0,4", "4,8"), 8), "");
  EXPECT_EQ(refusal(two("4,8", "0,4"), 8), "");
  EXPECT_THAT(refusal(two("0,4", "3,7"), 7), HasSubstr("'b' begins at byte 3"));
  EXPECT_THAT(refusal(two("0,4", "0,4"), 4), HasSubstr("they overlap"));
  EXPECT_THAT(refusal(two("0,4", "5,9"), 9), HasSubstr("there is a hole"));
  EXPECT_THAT(refusal(two("0,4", "4,8", "a"), 8), HasSubstr("tensor 'a' is there twice"));
  EXPECT_THAT(refusal(two("0,4", "4,8", "\\u0061"), 8), HasSubstr("tensor 'a' is there twice"));
}

TEST(SafetensorsHostile, NamesThatAreNoNames) {
  const auto named = [](const std::string& name) {
    return refusal("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  };
  EXPECT_EQ(named("blocks.0..weight"), "");
  EXPECT_THAT(named(""), HasSubstr("is empty"));
  EXPECT_THAT(named("/etc/passwd"), HasSubstr("'/etc/passwd' is an absolute path"));
  EXPECT_THAT(named("a/../../b"), HasSubstr("has a part '.' or '..'"));
  EXPECT_THAT(named("..\\\\b"), HasSubstr("has a part '.' or '..'"));
  EXPECT_THAT(named("a\\u0000b"), HasSubstr("'a\\x00b' has a control character"));
  EXPECT_THAT(named(std::string(5000, 'n')), HasSubstr("has 5000 bytes"));
}

TEST(SafetensorsHostile, EveryTruncationAndEveryFlippedBitIsRefusedOrRead) {
  const test::TemporaryFolder folder;
  SafetensorsFile file{{{"a", counted(DType::bfloat16, {2, 3})}, {"b", counted(DType::uint8, {5})}},
                       {{"k", "v"}}};
  write_safetensors(folder / "good", file);
  const std::string good = test::read_bytes(folder / "good");
  test::MemoryFile bad_file;
  for (std::size_t size = 0; size < good.size(); ++size) {
    bad_file.set(good.substr(0, size));
    EXPECT_NE(message_of([&] { read_safetensors(bad_file.path()); }), "") << size;
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    bad_file.set(bad);
    message_of([&] { EXPECT_FALSE(read_safetensors(bad_file.path()) == file) << bit; });
  }
}

TEST(SafetensorsWriting, ErrorsLeaveNothing) {
  const test::TemporaryFolder folder;
  const auto path = folder / "x";
  EXPECT_THAT(message_of([&] { write_safetensors(folder / "no" / "x", {}); }), HasSubstr("cannot create it"));
  for (const std::string name : {"", "../a", "/a", "__metadata__"}) {
    EXPECT_THROW(write_safetensors(path, {{{name, counted(DType::uint8, {1})}}, {}}), std::invalid_argument);
  }
  RawTensor lying = counted(DType::uint8, {4});
  lying.bytes.pop_back();
  EXPECT_THROW(write_safetensors(path, {{{"a", lying}}, {}}), std::invalid_argument);
  EXPECT_THROW(write_safetensors(path, {{{"a", {DType::float4_e2m1, {3}, {}}}}, {}}), std::invalid_argument);
  EXPECT_TRUE(folder.is_empty());
}

}  // namespace
}  // namespace bitlaw::data
