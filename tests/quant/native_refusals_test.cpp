// Native files that somebody else might have written: what version 1 does not define, and what does not fit,
// is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"
#include "quant/containers/native.h"
#include "tests/quant/some_weight.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::InputError;
using data::TensorFile;
using testing::AllOf;
using testing::HasSubstr;

struct Change {
  std::string drop;                      // a tensor or "group@attribute" that is left out
  std::function<void(TensorFile&)> add;  // what is put instead
};

// A good file of one asymmetric 4-bit weight "w", one activation and one tensor, with one change.
std::filesystem::path changed_file(const test::TemporaryFolder& folder, const Change& change) {
  const auto path = folder / "changed.h5";
  TensorFile file = TensorFile::create(path);
  const PackedTensor weight = some_weight(QuantSpec::parse("int4.channel.asym"));
  const auto put = [&](const std::string& name, DType dtype, std::vector<std::int64_t> shape, auto values) {
    if (name != change.drop) {
      file.put(name, dtype, shape, std::as_bytes(std::span(values)));
    }
  };
  const auto text = [&](const std::string& group, const std::string& key, const std::string& value) {
    if (group + "@" + key != change.drop) {
      file.put_text(group, key, value);
    }
  };
  const auto integer = [&](const std::string& group, const std::string& key, std::int64_t value) {
    if (group + "@" + key != change.drop) {
      file.put_integer(group, key, value);
    }
  };
  text("", "format", "bitlaw-model");
  integer("", "version", 1);
  put("weights/w/codes", DType::uint32, {kOut, 3}, weight.codes);
  put("weights/w/scale", DType::float32, {kOut, 1}, weight.scale);
  put("weights/w/zero_point", DType::int8, {kOut, 1}, weight.zero_point);
  put("tensors/t", DType::float32, {2}, std::vector<float>{1, 2});
  for (const char* group : {"weights/w", "activations/w"}) {
    const bool is_weight = group == std::string("weights/w");
    integer(group, "num_bits", 4);
    text(group, "type", "int");
    integer(group, "symmetric", 0);
    text(group, "grid", "integer");
    text(group, "strategy", is_weight ? "channel" : "token");
    integer(group, "group_size", 0);
  }
  if ("weights/w@shape" != change.drop) {
    file.put_integers("weights/w", "shape", std::vector<std::int64_t>{kOut, kIn});
  }
  text("activations/w", "scale_dtype", "float32");
  if (change.add) {
    change.add(file);
  }
  file.commit();
  return path;
}

std::string message_of(const Change& change) {
  test::TemporaryFolder folder;
  const auto path = changed_file(folder, change);
  try {
    read_native(path);
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path.string()));
    return error.what();
  }
  return "no error";
}

void put_bytes(TensorFile& file, const std::string& name) {
  const std::vector<std::int64_t> shape = {4};
  file.put(name, DType::uint8, shape, std::vector<std::byte>(4));
}

TEST(NativeHostile, UnchangedFileIsRead) {
  EXPECT_EQ(message_of({}), "no error");
}

TEST(NativeHostile, OtherFormatsAndVersionsAreRefused) {
  EXPECT_THAT(message_of({"@format", {}}), HasSubstr("is not a packed model"));
  EXPECT_THAT(message_of({"@format", [](auto& f) { f.put_text("", "format", "bitlaw-shard"); }}),
              HasSubstr("is not a packed model"));
  EXPECT_THAT(message_of({"@version", [](auto& f) { f.put_integer("", "version", 4); }}),
              AllOf(HasSubstr("has format version 4"), HasSubstr("reads versions 1 to 3")));
  EXPECT_THAT(message_of({"@version", [](auto& f) { f.put_integer("", "version", 0); }}),
              HasSubstr("has format version 0"));
  EXPECT_THAT(message_of({"@version", [](auto& f) { f.put_text("", "version", "1"); }}),
              HasSubstr("no integer 'version'"));
}

TEST(NativeHostile, UnknownMembersAreRefusedByNameAndVersion) {
  const auto adding = [](std::function<void(TensorFile&)> add) { return message_of({"", std::move(add)}); };
  EXPECT_THAT(adding([](auto& f) { put_bytes(f, "weights/w/group_index"); }),
              AllOf(HasSubstr("weights/w/group_index (groups of scattered inputs)"),
                    HasSubstr("format version 1 does not define it")));
  for (const char* later : {"global_scale", "scale_negative", "input_transform"}) {
    EXPECT_THAT(adding([&](auto& f) { put_bytes(f, std::string("weights/w/") + later); }),
                AllOf(HasSubstr(std::string("weights/w/") + later + " ("), HasSubstr("format version 1")));
  }
  for (const char* name : {"weights/w/extra", "weights/loose", "tensors/a/b", "loose", "activations/w/scale",
                           "other/t", "weights/w/deep/codes"}) {
    EXPECT_THAT(adding([&](auto& f) { put_bytes(f, name); }), HasSubstr("does not define it")) << name;
  }
  for (const char* group : {"other", "weights/w/deep", "activations/w/deep", "tensors/deep"}) {
    EXPECT_THAT(adding([&](auto& f) { f.put_group(group); }), HasSubstr("does not define it")) << group;
  }
  for (const char* group : {"", "weights", "tensors", "weights/w", "activations/w"}) {
    EXPECT_THAT(adding([&](auto& f) { f.put_text(group, "novel", "x"); }), HasSubstr("attribute novel"))
        << group;
    EXPECT_THAT(adding([&](auto& f) { f.put_integer(group, "novel", 1); }), HasSubstr("attribute novel"));
  }
}

TEST(NativeHostile, UnknownValuesOfAttributesAreRefused) {
  const auto text = [](const std::string& key, const std::string& value) {
    return message_of({"weights/w@" + key, [&](auto& f) { f.put_text("weights/w", key, value); }});
  };
  const auto integer = [](const std::string& key, std::int64_t value) {
    return message_of({"weights/w@" + key, [&](auto& f) { f.put_integer("weights/w", key, value); }});
  };
  EXPECT_THAT(text("type", "float"), AllOf(HasSubstr("type 'float'"), HasSubstr("format version 1")));
  EXPECT_THAT(text("grid", "log"), HasSubstr("grid 'log'"));
  EXPECT_THAT(text("strategy", "block"), HasSubstr("strategy 'block'"));
  EXPECT_THAT(text("strategy", "token"), HasSubstr("no tokens"));
  EXPECT_THAT(text("grid", "half"), HasSubstr("grid: half with symmetric: false"));
  EXPECT_THAT(integer("num_bits", 1), HasSubstr("num_bits is 1"));
  EXPECT_THAT(integer("num_bits", std::numeric_limits<std::int64_t>::max()), HasSubstr("num_bits is"));
  EXPECT_THAT(integer("symmetric", 2), HasSubstr("symmetric 2"));
  EXPECT_THAT(integer("symmetric", 1), HasSubstr("zero_point of a symmetric weight"));
  EXPECT_THAT(integer("group_size", 8), HasSubstr("group_size 8"));
}

TEST(NativeHostile, MissingMembersAreNamed) {
  for (const char* name : {"weights/w/codes", "weights/w/scale", "weights/w/zero_point"}) {
    EXPECT_THAT(message_of({name, {}}), HasSubstr("holds no tensor " + std::string(name)));
  }
  for (const char* key : {"num_bits", "type", "symmetric", "grid", "strategy", "group_size", "shape"}) {
    EXPECT_THAT(message_of({"weights/w@" + std::string(key), {}}),
                HasSubstr(std::string("'").append(key).append("'")));
  }
  EXPECT_THAT(message_of({"activations/w@scale_dtype", {}}), HasSubstr("'scale_dtype'"));
}

TEST(NativeHostile, ShapesAndTypesThatDoNotFitAreRefused) {
  const auto shape = [](std::vector<std::int64_t> extents) {
    return message_of({"weights/w@shape", [&](auto& f) { f.put_integers("weights/w", "shape", extents); }});
  };
  EXPECT_THAT(shape({6, 33}), HasSubstr("codes has shape [6, 3] instead of [6, 5]"));
  EXPECT_THAT(shape({7, 24}), HasSubstr("codes has shape [6, 3] instead of [7, 3]"));
  EXPECT_THAT(shape({6, 24, 1}), HasSubstr("has shape [6, 24, 1]"));
  EXPECT_THAT(shape({0, 24}), HasSubstr("has shape [0, 24]"));
  EXPECT_THAT(shape({-6, 24}), HasSubstr("has shape [-6, 24]"));
  EXPECT_THAT(shape({6, std::numeric_limits<std::int64_t>::max()}), HasSubstr("has shape [6, 92"));
  const auto tensor = [](const std::string& name, DType dtype, std::vector<std::int64_t> extents) {
    return message_of({name, [&](TensorFile& f) {
                         const data::TensorInfo info{"", dtype, extents, 0};
                         f.put(name, dtype, extents, std::vector<std::byte>(info.byte_count()));
                       }});
  };
  EXPECT_THAT(tensor("weights/w/codes", DType::int32, {6, 3}), HasSubstr("codes is int32 instead of uint32"));
  EXPECT_THAT(tensor("weights/w/codes", DType::uint32, {18}), HasSubstr("codes has shape [18]"));
  EXPECT_THAT(tensor("weights/w/scale", DType::float64, {6, 1}), HasSubstr("scale is float64"));
  EXPECT_THAT(tensor("weights/w/scale", DType::float16, {1, 6}), HasSubstr("scale has shape [1, 6]"));
  EXPECT_THAT(tensor("weights/w/scale", DType::float16, {6, 1}), HasSubstr("not positive and finite"));
  EXPECT_THAT(tensor("weights/w/zero_point", DType::float16, {6, 1}),
              AllOf(HasSubstr("zero_point is float16"), HasSubstr("format version 1")));
}

TEST(NativeHostile, ValuesOutOfRangeAreRefused) {
  for (const float bad : {-1.0F, 0.0F, INFINITY, NAN}) {
    EXPECT_THAT(message_of({"weights/w/scale",
                            [&](TensorFile& f) {
                              const std::vector<std::int64_t> extents = {6, 1};
                              const std::vector<float> scale = {1, 1, bad, 1, 1, 1};
                              f.put("weights/w/scale", DType::float32, extents,
                                    std::as_bytes(std::span(scale)));
                            }}),
                HasSubstr("not positive and finite"));
  }
  EXPECT_THAT(message_of({"weights/w/zero_point",
                          [&](TensorFile& f) {
                            const std::vector<std::int64_t> extents = {6, 1};
                            const std::vector<std::int8_t> zeros = {0, 0, 0, 8, 0, 0};
                            f.put("weights/w/zero_point", DType::int8, extents,
                                  std::as_bytes(std::span(zeros)));
                          }}),
              HasSubstr("zero point 8"));
}

}  // namespace
}  // namespace bitlaw::quant
