// Inputs in files that somebody else wrote: nothing of them is believed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "data/formats/tensor_file.h"
#include "quant/containers/awq.h"
#include "quant/containers/gguf.h"
#include "quant/containers/gptq.h"
#include "tests/quant/containers/sample_inputs.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

using data::DType;
using data::TensorFile;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using tests::compressed_folder;
using tests::input_of;
using tests::model_of;

// What is changed in a native file of one input.
struct NativeChange {
  std::int64_t version = 3;
  std::string drop;                          // a tensor
  std::map<std::string, std::string> texts;  // attributes of the input
};

std::string native_message(const PackedInput& input, const NativeChange& change,
                           const std::function<void(TensorFile&)>& add) {
  test::TemporaryFolder folder;
  write_native(folder / "whole.h5", model_of({input}));
  const TensorFile whole = TensorFile::open(folder / "whole.h5");
  TensorFile file = TensorFile::create(folder / "changed.h5");
  for (const std::string& name : whole.names()) {
    if (name != change.drop) {
      std::vector<std::byte> bytes(whole.info(name).byte_count());
      whole.read(name, bytes);
      file.put(name, whole.info(name).dtype, whole.info(name).shape, bytes);
    }
  }
  file.put_group("tensors");
  file.put_group("activations/blocks.0.fc1");
  for (const std::string group : {"", "weights/blocks.0.fc1", "activations/blocks.0.fc1"}) {
    for (const std::string& key : whole.attribute_keys(group)) {
      if (key == "version") {
        file.put_integer("", key, change.version);
      } else if (key == "shape") {
        file.put_integers(group, key, whole.integers(group, key));
      } else if (whole.has_text(group, key)) {
        const auto changed = change.texts.find(key);
        const bool ours = changed != change.texts.end() && group.starts_with("activations/");
        file.put_text(group, key, ours ? changed->second : whole.text(group, key));
      } else {
        file.put_integer(group, key, whole.integer(group, key));
      }
    }
  }
  add(file);
  file.commit();
  return message_of([&] { read_native(folder / "changed.h5"); });
}

std::string native_message(std::int64_t version, const std::string& drop,
                           const std::function<void(TensorFile&)>& add) {
  return native_message(input_of("int8.tensor.asym", 0.5F, -3.0F), {version, drop, {}}, add);
}

void put(TensorFile& file, const std::string& name, DType type, std::vector<std::byte> bytes) {
  file.put("activations/blocks.0.fc1/" + name, type, std::vector<std::int64_t>{1}, bytes);
}

TEST(HostileInputs, NativeMembersAreRefused) {
  const std::string group = "activations/blocks.0.fc1/";
  const auto nothing = [](TensorFile&) {};
  const std::vector<std::byte> zero2(2), zero4(4);
  EXPECT_EQ(native_message(3, "", nothing), "");
  EXPECT_THAT(native_message(2, "", nothing), HasSubstr("format version 2 does not define it"));
  EXPECT_THAT(native_message(2, group + "scale", [&](TensorFile&) {}),
              HasSubstr("format version 2 does not define it"));
  EXPECT_THAT(native_message(4, "", nothing), HasSubstr("versions 1 to 3"));
  EXPECT_THAT(native_message(3, group + "scale", nothing), HasSubstr("has no scale"));
  EXPECT_THAT(native_message(3, group + "zero_point", nothing), HasSubstr("has no zero point"));
  EXPECT_THAT(
      native_message(3, group + "scale", [&](TensorFile& f) { put(f, "scale", DType::float16, zero2); }),
      HasSubstr("not positive and finite"));
  EXPECT_THAT(
      native_message(3, group + "scale", [&](TensorFile& f) { put(f, "scale", DType::float32, zero4); }),
      HasSubstr("is float32"));
  EXPECT_THAT(native_message(3, group + "zero_point",
                             [&](TensorFile& f) { put(f, "zero_point", DType::int32, zero4); }),
              HasSubstr("instead of int8"));
  EXPECT_THAT(native_message(3, "", [&](TensorFile& f) { put(f, "codes", DType::int32, zero4); }),
              HasSubstr("does not define it"));
}

std::string compressed_message(const PackedInput& input, const std::function<void(ModelFolder&)>& change) {
  ModelFolder contents = compressed_folder(input);
  change(contents);
  return message_of([&] { read_compressed_tensors(contents, "x"); });
}

TEST(HostileInputs, CompressedMembersAreRefused) {
  const std::string scale = "blocks.0.fc1.input_scale", zero_point = "blocks.0.fc1.input_zero_point";
  const PackedInput asymmetric = input_of("int8.tensor.asym", 0.5F, -3.0F);
  const PackedInput symmetric = input_of("int8.tensor.sym", 0.5F);
  EXPECT_THAT(compressed_message(asymmetric, [&](ModelFolder& m) { m.file.tensors.erase(scale); }),
              HasSubstr("no tensor input_scale"));
  EXPECT_THAT(compressed_message(asymmetric, [&](ModelFolder& m) { m.file.tensors.erase(zero_point); }),
              HasSubstr("no tensor input_zero_point"));
  EXPECT_THAT(compressed_message(symmetric,
                                 [&](ModelFolder& m) {
                                   m.file.tensors[zero_point] = {DType::int8, {1}, {std::byte{3}}};
                                 }),
              HasSubstr("is not 0"));
  EXPECT_THAT(compressed_message(symmetric,
                                 [&](ModelFolder& m) {
                                   m.file.tensors[scale] = {DType::float32, {2}, std::vector<std::byte>(8)};
                                 }),
              HasSubstr("input_scale"));
  EXPECT_THAT(compressed_message(input_of("int8.token.sym"),
                                 [&](ModelFolder& m) {
                                   m.file.tensors[scale] = {DType::float32, {1}, std::vector<std::byte>(4)};
                                 }),
              HasSubstr("tensor input_scale is not known"));
  const auto says = [](const char* activations) {
    return [activations](ModelFolder& m) { m.file.metadata["bitlaw.activations"] = activations; };
  };
  EXPECT_THAT(compressed_message(symmetric, says("{}")), HasSubstr("does not name it"));
  EXPECT_THAT(compressed_message(symmetric, says(R"({"blocks.0.fc1": "int8.tensor.asym"})")),
              HasSubstr("was int8.tensor.asym, but is int8.tensor.sym"));
  EXPECT_THAT(compressed_message(input_of("e2m1.g32.sym.e8m0"), says(R"({"blocks.0.fc1": "e2m1.g32.sym"})")),
              HasSubstr("was e2m1.g32.sym, but is e2m1.g32.sym.e8m0"));
  const auto args = [&](const std::string& from, const std::string& to) {
    return compressed_message(symmetric, [&](ModelFolder& m) {
      std::string& config = m.configs.at("config.json");
      const std::size_t at = config.find("\"input_activations\"");
      config.replace(config.find(from, at), from.size(), to);
    });
  };
  EXPECT_THAT(args("\"tensor\"", "\"channel\""), HasSubstr("static inputs with strategy 'channel'"));
  EXPECT_THAT(args("\"dynamic\": false", "\"dynamic\": true"),
              HasSubstr("dynamic inputs with strategy 'tensor'"));
  EXPECT_THAT(args("\"dynamic\": false", "\"dynamic\": \"local\""), HasSubstr("dynamic 'local'"));
  EXPECT_THAT(args("\"tensor\"", "\"tensor_group\""), HasSubstr("strategy 'tensor_group'"));
}

// Specs of inputs that no file may hold, and why.
struct BadSpec {
  const char* spec;
  const char* reason;
};

const std::vector<BadSpec>& bad_specs() {
  static const std::vector<BadSpec> specs = {
      {"nf4.token.sym", "levels are made for weights"},
      {"ternary.token.sym", "levels are made for weights"},
      {"int8.channel.sym", "belong to weights"},
      {"int8.b4x4.sym", "belong to weights"},
      {"e4m3.token.asym", "inputs of floats have one scale"},
      {"int8.token.asym.float16.zp_float16", "zero points of tokens are never stored"},
      {"int8.g64.asym.float16.zp_float16", "zero points of tokens are never stored"},
      {"e2m1.g16.sym.e4m3", "not known at run time"},
      {"int8.g48.sym", "the layer has 256 inputs"},
      {"int99.token.sym", "2 to 8 bits"},
      {"int8.token", "is no quantisation"}};
  return specs;
}

std::string spec_member(const std::string& module, const std::string& spec) {
  return "{\"" + module + "\": \"" + spec + "\"}";
}

TEST(HostileInputs, SpecsThatTravelAreChecked) {
  Refusals refusals;
  const PackedModel model = model_of({input_of("int8.token.sym")});
  const ModelFolder gptq = make_gptq(model, {}, refusals);
  const ModelFolder awq = make_awq(model, true, refusals);
  const GgufContents gguf = make_gguf(model, true, refusals);
  const auto messages = [&](const std::string& text) {
    ModelFolder changed_gptq = gptq, changed_awq = awq;
    GgufContents changed_gguf = gguf;
    changed_gptq.file.metadata["bitlaw.activations"] = text;
    changed_awq.file.metadata["bitlaw.activations"] = text;
    for (auto& [key, value] : changed_gguf.header.values) {
      if (key == "bitlaw.activations") {
        value = text;
      }
    }
    return std::vector{message_of([&] { read_gptq(changed_gptq, "x"); }),
                       message_of([&] { read_awq(changed_awq, "x"); }),
                       message_of([&] { read_gguf(changed_gguf, "x"); })};
  };
  ASSERT_TRUE(refusals.empty());
  EXPECT_THAT(messages(spec_member("blocks.0.fc1", "int8.token.sym")), testing::Each(""));
  for (const BadSpec& bad : bad_specs()) {
    EXPECT_THAT(messages(spec_member("blocks.0.fc1", bad.spec)),
                testing::Each(AllOf(HasSubstr("x: "), HasSubstr("blocks.0.fc1"), HasSubstr(bad.reason))))
        << bad.spec;
  }
  EXPECT_THAT(messages(spec_member("blocks.7.fc1", "int8.token.sym")),
              testing::Each(HasSubstr("blocks.7.fc1 is quantised, but the layer holds no codes")));
}

TEST(HostileInputs, TextsAreEscaped) {
  Refusals refusals;
  const ModelFolder whole = make_gptq(model_of({input_of("int8.token.sym")}), {}, refusals);
  for (const char* text :
       {R"({"blocks.0.fc1": "\u001b[2J"})", R"({"\u001b[2J": 1})", R"({"\u001b[2J": "int8.token.sym"})"}) {
    ModelFolder changed = whole;
    changed.file.metadata["bitlaw.activations"] = text;
    EXPECT_THAT(message_of([&] { read_gptq(changed, "x"); }),
                AllOf(HasSubstr("\\x1b[2J"), testing::Not(HasSubstr("\x1b"))));
  }
  const auto args = [&](const std::string& from) {
    return compressed_message(input_of("e4m3.token.sym"), [&](ModelFolder& m) {
      std::string& config = m.configs.at("config.json");
      config.replace(config.find(from, config.find("\"input_activations\"")), from.size(), "\"\\u001b[2J\"");
    });
  };
  for (const char* value : {"\"float\"", "\"token\""}) {
    EXPECT_THAT(args(value), testing::Not(HasSubstr("\x1b"))) << value;
  }
}

TEST(HostileInputs, NativeSpecsAreChecked) {
  const auto with = [](const std::string& spec, const std::map<std::string, std::string>& texts) {
    return native_message(input_of(spec), {3, "", texts}, [](TensorFile&) {});
  };
  EXPECT_EQ(with("int4.token.sym", {}), "");
  for (const char* type : {"ternary", "nf"}) {
    EXPECT_THAT(with("int4.token.sym", {{"type", type}}),
                AllOf(HasSubstr("changed.h5"), HasSubstr(std::string("activations with type: ") + type)));
  }
  EXPECT_THAT(with("int4.token.sym", {{"strategy", "channel"}}), HasSubstr("strategy 'channel'"));
  EXPECT_THAT(with("e2m1.g16.sym", {{"scale_dtype", "e4m3"}}), HasSubstr("not known at run time"));
  const auto grouped = [](std::int64_t size) {
    PackedModel model = model_of({input_of("int8.g64.sym")});
    model.weights.at("blocks.0.fc1") = bitlaw::tests::sample_weight("int4.channel.sym", 64, size);
    test::TemporaryFolder folder;
    return message_of([&] { write_native(folder / "model.h5", model); });
  };
  EXPECT_EQ(grouped(128), "");
  EXPECT_THAT(grouped(96), HasSubstr("the layer has 96 inputs"));
}

TEST(HostileInputs, CompressedSpecsAreChecked) {
  const auto args = [&](const std::string& from, const std::string& to) {
    return compressed_message(input_of("e4m3.token.sym"), [&](ModelFolder& m) {
      m.file.metadata.clear();
      std::string& config = m.configs.at("config.json");
      config.replace(config.find(from, config.find("\"input_activations\"")), from.size(), to);
    });
  };
  EXPECT_EQ(args("\"token\"", "\"token\""), "");
  EXPECT_THAT(args("\"symmetric\": true", "\"symmetric\": false"), HasSubstr("floats have one scale"));
  EXPECT_THAT(args("\"token\"", "\"block\""), HasSubstr("strategy 'block'"));
}

}  // namespace
}  // namespace bitlaw::quant
