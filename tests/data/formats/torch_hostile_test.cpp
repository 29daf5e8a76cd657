// Pickles by hand, and archives that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/torch_archive.h"
#include "tests/support/memory_file.h"
#include "tests/support/zip_bytes.h"

namespace bitlaw::data {
namespace {

using test::little;
using test::message_of;
using test::ZipPart;
using testing::AllOf;
using testing::HasSubstr;

std::string text(const std::string& value) {
  return std::string("X").append(little(static_cast<std::uint32_t>(value.size()))).append(value);
}

std::string number(std::int64_t value) {
  return "\x8A\x08" + little(value);
}

std::string tuple(const std::vector<std::int64_t>& values) {
  std::string pickled = "(";
  for (const std::int64_t value : values) {
    pickled += number(value);
  }
  return pickled + "t";
}

std::string storage(std::int64_t elements, const std::string& type = "torch\nFloatStorage",
                    const std::string& key = "0") {
  std::string out = "(";
  out.append(text("storage")).append("c").append(type).append("\n").append(text(key)).append(text("cpu"));
  return out.append(number(elements)).append("tQ");
}

struct View {
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape = {2, 3};
  std::vector<std::int64_t> stride = {3, 1};
};

std::string tensor(const View& view, const std::string& stored = storage(6)) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(view.offset) + tuple(view.shape) +
         tuple(view.stride) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

std::string dict(const std::string& items) {
  return "}(" + items + "u";
}

// An archive of one pickle and a storage of six floats.
std::string archive_of(const std::string& pickled, const std::vector<ZipPart>& more = {}) {
  std::vector<ZipPart> parts = {{"m/data.pkl", "\x80\x02" + pickled + "."},
                                {"m/data/0", std::string(24, 's')}};
  parts.insert(parts.end(), more.begin(), more.end());
  return test::zip_bytes(parts);
}

std::string refusal(const std::string& bytes) {
  const test::MemoryFile file(bytes);
  return message_of([&] {
    const TorchArchive archive(file.path());
    for (const auto& [name, entry] : archive.tensors()) {
      archive.read(name);
    }
  });
}

std::string refused_view(const View& view) {
  return refusal(archive_of(dict(text("w") + tensor(view))));
}

TEST(TorchHostile, Views) {
  constexpr std::int64_t kMax = INT64_MAX;
  EXPECT_EQ(refused_view({}), "");
  EXPECT_EQ(refused_view({6, {0, 3}, {3, 1}}), "");
  EXPECT_EQ(refused_view({0, {100, 6}, {0, 1}}), "");
  EXPECT_EQ(refused_view({5, {1, 1}, {kMax, kMax}}), "");
  EXPECT_THAT(refused_view({1, {2, 3}, {3, 1}}),
              HasSubstr("tensor 'w' reaches beyond its storage of 6 elements"));
  EXPECT_THAT(refused_view({0, {2, 3}, {4, 1}}), HasSubstr("reaches beyond"));
  EXPECT_THAT(refused_view({kMax, {2, 3}, {3, 1}}), HasSubstr("reaches beyond"));
  EXPECT_THAT(refused_view({0, {3, 3}, {kMax, kMax}}), HasSubstr("reaches beyond"));
  EXPECT_THAT(refused_view({0, {kMax}, {2}}), HasSubstr("no file can hold"));
  EXPECT_THAT(refused_view({0, {1 << 21}, {0}}), HasSubstr("shows 6 stored elements as 2097152"));
  EXPECT_THAT(refused_view({0, {kMax, 4}, {0, 0}}), HasSubstr("no file can hold"));
  EXPECT_THAT(refused_view({-1, {2}, {1}}), HasSubstr("an offset that is no whole number"));
  EXPECT_THAT(refused_view({0, {-2}, {1}}), HasSubstr("an extent or a stride"));
  EXPECT_THAT(refused_view({0, {2}, {-1}}), HasSubstr("an extent or a stride"));
  EXPECT_THAT(refused_view({0, {2, 3}, {1}}), HasSubstr("as many strides"));
  EXPECT_THAT(refused_view({0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)}),
              HasSubstr("no tuple of up to 64"));
}

TEST(TorchHostile, Storages) {
  const auto refused = [](const std::string& stored) {
    return refusal(archive_of(dict(text("w") + tensor({}, stored))));
  };
  EXPECT_EQ(refused(storage(6)), "");
  EXPECT_THAT(refused(storage(7)),
              HasSubstr("a storage of 7 elements of 4 bytes, entry 'm/data/0' has 24 bytes"));
  EXPECT_THAT(refused(storage(5)), HasSubstr("a storage of 5 elements"));
  EXPECT_THAT(refused(storage(-1)), HasSubstr("another kind"));
  EXPECT_THAT(refused(storage(std::int64_t{1} << 62)), HasSubstr("a storage of 46"));
  EXPECT_THAT(refused(storage(6, "torch\nDoubleStorage")), HasSubstr("a storage of 6 elements of 8 bytes"));
  EXPECT_THAT(refused(storage(24, "torch.storage\nUntypedStorage")), HasSubstr("another kind"));
  EXPECT_THAT(refused(storage(6, "torch\nfloat32")), HasSubstr("another kind"));
  EXPECT_THAT(refused(storage(6, "torch\nFloatStorage", "1")),
              HasSubstr("'m/data/1', which is not in the archive"));
  EXPECT_THAT(refused(storage(6, "torch\nFloatStorage", "../data.pkl")), HasSubstr("not in the archive"));
  EXPECT_THAT(refused(storage(6, "torch\nNovelStorage")), HasSubstr("names 'torch.NovelStorage'"));
  EXPECT_THAT(refused("N"), HasSubstr("not stored in the file"));
  EXPECT_THAT(refused("NQ"), HasSubstr("not stored in the file"));
  EXPECT_THAT(refused("(NNNNNtQ"), HasSubstr("another kind"));
  EXPECT_THAT(refusal(archive_of(dict(text("w") + "ctorch._utils\n_rebuild_tensor_v2\n)R"))),
              HasSubstr("has 0 arguments"));
  EXPECT_THAT(refusal(archive_of(dict(text("w") + "ctorch._utils\n_rebuild_tensor_v3\n(NNNNNNNtR"))),
              HasSubstr("has no element type"));
}

TEST(TorchHostile, BytesThatChangedAreFound) {
  std::string bytes = archive_of(dict(text("w") + tensor({}) + text("v") + tensor({0, {2}, {3}})));
  bytes[bytes.find("ssss")] = 't';
  EXPECT_THAT(refusal(bytes), HasSubstr("entry 'm/data/0' has CRC-32"));
  bytes = archive_of(dict(text("v") + tensor({0, {2}, {3}})));
  bytes[bytes.find("ssss") + 5] = 't';  // not a byte of the view
  EXPECT_THAT(refusal(bytes), HasSubstr("entry 'm/data/0' has CRC-32"));
}

TEST(TorchHostile, NamesAndNesting) {
  EXPECT_THAT(refusal(archive_of(dict(text("w") + tensor({}) + text("w") + tensor({})))),
              HasSubstr("tensor 'w' is there twice"));
  EXPECT_THAT(refusal(archive_of(dict(text("a/b") + tensor({}) + text("a") + dict(text("b") + tensor({}))))),
              HasSubstr("tensor 'a/b' is there twice"));
  EXPECT_THAT(refusal(archive_of(dict(text("../w") + tensor({})))), HasSubstr("'../w' has a part"));
  EXPECT_THAT(refusal(archive_of(dict(text("") + tensor({})))), HasSubstr("is empty"));
  EXPECT_THAT(refusal(archive_of(dict(text(std::string("a\0", 2)) + tensor({})))),
              HasSubstr("control character"));
  EXPECT_THAT(refusal(archive_of(dict(text(std::string(5000, 'n')) + tensor({})))),
              HasSubstr("longer than 4096"));
  EXPECT_THAT(refusal(archive_of(dict(tensor({}) + "]"))), HasSubstr("a key that is no text"));
  // A dict that holds itself; a list of a list of a list ..., each twice: 2^40 steps; 100 levels.
  EXPECT_THAT(refusal(archive_of(std::string("}q\0", 3) + text("k") + std::string("h\0s", 3))),
              AllOf(HasSubstr("below 'k/k/k"), HasSubstr("or holds itself")));
  std::string laughs = "]";
  for (int i = 0; i < 31; ++i) {
    laughs += std::string("q\0h\0\x86", 5);  // a pair of what was before
  }
  EXPECT_THAT(refusal(archive_of(laughs)), HasSubstr("or holds itself"));
  EXPECT_THAT(refusal(archive_of("N" + std::string(100, '\x85'))), HasSubstr("deeper than 32 levels"));
  EXPECT_EQ(refusal(archive_of("N" + std::string(32, '\x85'))), "");
}

// Tensors of 64 extents and 64 strides, each there once and used `times` times, by `lists` lists of the same.
std::string used_again(int tensors, int times) {
  const std::vector<std::int64_t> ones(64, 1), zeros(64, 0);
  std::string list = "](";
  for (int i = 0; i < tensors; ++i) {
    list += tensor({0, ones, zeros});
  }
  list += std::string("eq\0", 3);
  std::string lists = "](";
  for (int i = 0; i < times; ++i) {
    lists += std::string("h\0", 2);
  }
  return dict(text("a") + list + text("b") + lists + "e");
}

TEST(TorchHostile, TablesAreBoundedByThePickle) {
  EXPECT_EQ(refusal(archive_of(used_again(4, 8))), "");  // shared modules
  EXPECT_THAT(refusal(archive_of(used_again(4, 40))), HasSubstr("tables of extents more than 16 times"));
  // One long name of a storage, in every tensor.
  const std::string name(4000, 's');
  std::string many;
  for (int i = 0; i < 17500; ++i) {
    many.append(text(std::string("w").append(std::to_string(i))));
    many.append(i == 0 ? tensor({}, storage(6, "torch\nFloatStorage", name)).append("q\1") : "h\1");
  }
  EXPECT_THAT(refusal(archive_of(dict(many), {{"m/data/" + name, std::string(24, 's')}})),
              HasSubstr("the names of all have more than"));
}

// Each of them is allowed to repeat few elements; all together would fill any memory.
TEST(TorchHostile, WhatAllTensorsShowIsBoundedByTheFile) {
  const auto archive = [](int tensors) {
    std::string items;
    for (int i = 0; i < tensors; ++i) {
      items.append(text(std::string("w").append(std::to_string(i)))).append(tensor({0, {1 << 20}, {0}}));
    }
    return archive_of(dict(items));
  };
  const test::MemoryFile few(archive(15)), many(archive(20));  // of 4 MiB each
  EXPECT_EQ(message_of([&] { const TorchArchive opened(few.path()); }), "");
  EXPECT_THAT(message_of([&] { const TorchArchive opened(many.path()); }),
              AllOf(HasSubstr("again and again, as more than"), HasSubstr("get the file again")));
}

TEST(TorchHostile, Archives) {
  const std::string good = dict(text("w") + tensor({}));
  EXPECT_THAT(refusal(archive_of(good, {{"m/byteorder", "big"}})), HasSubstr("in byte order 'big'"));
  EXPECT_EQ(refusal(archive_of(good, {{"m/byteorder", "little"}})), "");
  EXPECT_THAT(refusal(archive_of(good, {{"n/data.pkl", "."}})), HasSubstr("two pickles"));
  EXPECT_THAT(refusal(archive_of(good, {{"m/constants.pkl", "."}})), HasSubstr("TorchScript"));
  EXPECT_THAT(refusal(test::zip_bytes({{"a", "b"}})), HasSubstr("there is no data.pkl in it"));
  EXPECT_THAT(refusal(test::zip_bytes({{"data.pkl", "b"}})), HasSubstr("there is no data.pkl in it"));
}

TEST(TorchHostile, EveryTruncationAndEveryFlippedBitIsRefusedOrRead) {
  const std::string good =
      test::read_bytes(std::string(BITLAW_SOURCE_DIR) + "/tests/data/formats/files/views.pth");
  ASSERT_EQ(refusal(good), "");
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(refusal(good.substr(0, size)), "") << size;
  }
  for (std::size_t bit = 0; bit < good.size() * 8; bit += 3) {  // two or three of each byte's
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    refusal(bad);
  }
  // The same inside the pickle alone, where no checksum stands before it.
  const std::string pickled = dict(text("w") + tensor({}) + text("v") + tensor({0, {3, 2}, {1, 3}}));
  for (std::size_t bit = 0; bit < pickled.size() * 8; ++bit) {
    std::string bad = pickled;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    refusal(archive_of(bad));
  }
}

}  // namespace
}  // namespace bitlaw::data
