#include "data/formats/shard_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/formats/checksum.h"
#include "tests/data/shard_samples.h"

namespace bitlaw::data {
namespace {

using Json = nlohmann::json;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

ShardManifest example() {
  ShardManifest manifest = test::token_description(7);
  manifest.content_hash = "c";
  manifest.shards = {{"shard-00000.h5", 5, 1000, "1111", "aaaa"}, {"shard-00001.h5", 2, 900, "2222", "bbbb"}};
  return manifest;
}

// The text of the example after a change, with a manifest_checksum that fits it.
template <class Change>
std::string changed(const Change& change) {
  Json json = Json::parse(manifest_text(example()));
  json.erase("manifest_checksum");
  change(json);
  const std::string dump = json.dump();
  json["manifest_checksum"] = to_hex(tensor_checksum(std::as_bytes(std::span(dump))));
  return json.dump();
}

std::string error_of(const std::string& text) {
  return message_of([&] { parse_manifest(text, "x/manifest.json"); });
}

TEST(ShardManifest, GoesThroughText) {
  const ShardManifest read = parse_manifest(manifest_text(example()), "here");
  EXPECT_EQ(manifest_text(read), manifest_text(example()));
  EXPECT_EQ(read.kind, "tokens");
  EXPECT_EQ(read.samples, 7);
  EXPECT_EQ(read.num_classes, 7);
  EXPECT_EQ(read.shape, std::vector<std::int64_t>{5});
  EXPECT_EQ(read.vocab_size, 64);
  EXPECT_EQ(read.patch_nums, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(read.tokenizer_hash, "0123456789abcdef");
  EXPECT_EQ(read.source_hash, "source-1");
  ASSERT_EQ(read.shards.size(), 2U);
  EXPECT_EQ(read.shards[1].file, "shard-00001.h5");
  EXPECT_EQ(read.shards[1].samples, 2);
  EXPECT_EQ(read.shards[1].bytes, 900);
  EXPECT_EQ(read.shards[1].checksum, "2222");
  EXPECT_EQ(read.shards[1].content_hash, "bbbb");
  EXPECT_EQ(error_of(changed([](Json&) {})), "") << "the helper of this test makes valid text";
}

TEST(ShardManifest, ClassNamesNeedNotBeUtf8) {
  ShardManifest manifest = example();
  manifest.class_names = {"\xff\xfe", "b", "c", "d", "e", "f", "g"};
  EXPECT_EQ(parse_manifest(manifest_text(manifest), "here").class_names[1], "b");
}

TEST(ShardManifest, RefusesWhatIsNoManifest) {
  EXPECT_THAT(error_of(""), HasSubstr("x/manifest.json: not valid JSON"));
  EXPECT_THAT(error_of("{\"format\": "), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("not a manifest of format bitlaw-shards"));
  EXPECT_THAT(error_of("{\"format\": \"other\"}"), HasSubstr("not a manifest"));
  EXPECT_NE(error_of("{\"format\": 5}"), "");
  EXPECT_NE(error_of("{\"format\": \"bitlaw-shards\", \"version\": 1}"), "");
}

TEST(ShardManifest, RefusesAnotherVersion) {
  EXPECT_THAT(error_of(changed([](Json& json) { json["version"] = 2; })),
              AllOf(HasSubstr("version 2 of the shard format"), HasSubstr("reads version 1")));
}

TEST(ShardManifest, EveryFlippedBitIsNoticed) {
  const std::string text = manifest_text(example());
  int same = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    if (!error_of(damaged).empty()) continue;
    // white space may change as long as it stays white space; nothing else
    EXPECT_EQ(manifest_text(parse_manifest(damaged, "here")), text) << i;
    ++same;
  }
  EXPECT_LT(same, 20);
}

TEST(ShardManifest, RefusesContradictions) {
  const auto error = [](const char* path, const Json& value) {
    return error_of(changed([&](Json& json) { json[Json::json_pointer(path)] = value; }));
  };
  EXPECT_THAT(error("/kind", "sounds"), HasSubstr("unknown kind \"sounds\""));
  EXPECT_THAT(error("/kind", "images"), HasSubstr("shape has 1 dimensions"));
  EXPECT_THAT(error("/shape", {0}), HasSubstr("shape is out of range"));
  EXPECT_THAT(error("/shape", {-5}), HasSubstr("shape is out of range"));
  EXPECT_THAT(error("/shape", {INT64_MAX}), HasSubstr("shape is out of range"));
  EXPECT_THAT(error("/shape", {1.5}), HasSubstr("shape holds a non-integer"));
  EXPECT_THAT(error("/samples", 8), HasSubstr("the shards have 7 samples, the data set 8"));
  EXPECT_THAT(error("/samples", 6), HasSubstr("shard-00001.h5 has 2 samples"));
  EXPECT_THAT(error("/samples", -1), HasSubstr("shard-00000.h5 has 5 samples"));
  EXPECT_THAT(error("/samples", "7"), HasSubstr("samples is not an integer"));
  EXPECT_THAT(error("/samples", 7.5), HasSubstr("samples is not an integer"));
  EXPECT_THAT(error("/num_classes", 0), HasSubstr("num_classes is 0"));
  EXPECT_THAT(error("/class_names", {"a"}), HasSubstr("1 class_names for 7 classes"));
  EXPECT_THAT(error("/vocab_size", 1), HasSubstr("vocab_size is 1"));
  EXPECT_THAT(error("/shards/0/samples", INT64_MAX), HasSubstr("does not fit the data set"));
  EXPECT_THAT(error("/shards/0/bytes", 0), HasSubstr("in 0 bytes"));
  EXPECT_THAT(error("/shards/0", 5), HasSubstr("x/manifest.json"));
  EXPECT_THAT(error("/shards", "none"), HasSubstr("x/manifest.json"));
}

TEST(ShardManifest, RefusesNamesThatLeaveTheFolder) {
  for (const char* name : {"", "../shard.h5", "/etc/passwd", "a/b.h5", "..", ".hidden"}) {
    EXPECT_THAT(error_of(changed([&](Json& json) { json["shards"][0]["file"] = name; })),
                HasSubstr("is not a name of a shard"))
        << name;
  }
}

TEST(ShardManifest, MissingKeysAreNamed) {
  for (const char* key : {"kind", "samples", "num_classes", "class_names", "shape", "source", "source_hash",
                          "content_hash", "tokenizer_hash", "vocab_size", "patch_nums", "shards"}) {
    EXPECT_THAT(error_of(changed([&](Json& json) { json.erase(key); })), HasSubstr(key));
  }
}

TEST(SampleChecksum, SeesBytesAndLabel) {
  const std::vector<std::byte> a = {std::byte{1}, std::byte{2}};
  const std::vector<std::byte> b = {std::byte{2}, std::byte{1}};
  EXPECT_EQ(sample_checksum(a, 3), sample_checksum(a, 3));
  EXPECT_NE(sample_checksum(a, 3), sample_checksum(b, 3));
  EXPECT_NE(sample_checksum(a, 3), sample_checksum(a, 4));
}

}  // namespace
}  // namespace bitlaw::data
