// A packed file is hardly larger than the bits that it must hold: within 1 % + 64 KiB.
#include <gtest/gtest.h>

#include <filesystem>

#include "data/formats/tensor_file.h"
#include "quant/containers/native.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::quant {
namespace {

// The layers of a VAR transformer under their published names, all codes 0 and all scales 1.
struct Shapes {
  std::int64_t depth;
  std::int64_t width;
  std::int64_t vocabulary;
  const char* body;  // spec of the blocks' layers
  const char* adaln;
};

class Builder {
 public:
  void weight(const std::string& name, std::int64_t out, std::int64_t in, const QuantSpec& spec) {
    const auto codes = static_cast<std::size_t>(out * packed_words(in, spec.bits()));
    const auto scales = static_cast<std::size_t>(out * spec.groups(in));
    PackedTensor packed;
    packed.spec = spec;
    packed.out_features = out;
    packed.in_features = in;
    packed.codes.resize(codes);
    packed.scale.assign(scales, 1.0F);
    model.weights.emplace(name, std::move(packed));
    bits += spec.bits_per_weight(out, in) * static_cast<double>(out * in);
  }

  void tensor(const std::string& name, std::vector<std::int64_t> shape) {
    data::TensorInfo info{name, data::DType::bfloat16, shape, 0};
    model.tensors.emplace(name,
                          data::RawTensor{info.dtype, shape, std::vector<std::byte>(info.byte_count())});
    bits += 16.0 * static_cast<double>(info.element_count());
  }

  PackedModel model;
  double bits = 0;
};

Builder var_model(const Shapes& shapes) {
  const QuantSpec body = QuantSpec::parse(shapes.body);
  const QuantSpec adaln = QuantSpec::parse(shapes.adaln);
  const std::int64_t width = shapes.width;
  Builder builder;
  for (std::int64_t i = 0; i < shapes.depth; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    builder.weight(block + "attn.mat_qkv", 3 * width, width, body);
    builder.weight(block + "attn.proj", width, width, body);
    builder.weight(block + "ffn.fc1", 4 * width, width, body);
    builder.weight(block + "ffn.fc2", width, 4 * width, body);
    builder.weight(block + "ada_lin.1", 6 * width, width, adaln);
    builder.tensor(block + "attn.scale_mul_1H11", {1, width / 64, 1, 1});
    builder.tensor(block + "attn.q_bias", {width});
    builder.tensor(block + "attn.v_bias", {width});
    builder.tensor(block + "attn.proj.bias", {width});
    builder.tensor(block + "ffn.fc1.bias", {4 * width});
    builder.tensor(block + "ffn.fc2.bias", {width});
    builder.tensor(block + "ada_lin.1.bias", {6 * width});
  }
  for (const char* name : {"word_embed.bias", "pos_start", "lvl_embed.weight", "class_emb.weight"}) {
    builder.tensor(name, {10, width});
  }
  builder.tensor("head.weight", {shapes.vocabulary, width});
  builder.tensor("head.bias", {shapes.vocabulary});
  return builder;
}

void expect_small(const Shapes& shapes) {
  test::TemporaryFolder folder;
  const Builder builder = var_model(shapes);
  write_native(folder / "model.h5", builder.model);
  const auto size = static_cast<double>(std::filesystem::file_size(folder / "model.h5"));
  testing::Test::RecordProperty("bytes_over_theory", std::to_string(size - builder.bits / 8));
  EXPECT_GE(size, builder.bits / 8);
  EXPECT_LE(size, builder.bits / 8 * 1.01 + 65536) << "theory " << builder.bits / 8;
}

TEST(NativeSize, QuickstartStudents) {
  expect_small({4, 128, 256, "int2h.g64.sym", "int8.g64.sym"});
  expect_small({4, 128, 256, "int3.g64.sym", "int8.g64.sym"});
}

TEST(NativeSize, TinyStudent) {
  expect_small({2, 64, 64, "int3.g64.sym", "int8.g64.sym"});
}

// Four blocks of the sixteen: overhead is by module, so more blocks only come closer.
TEST(NativeSize, ShapesOfVarD16) {
  expect_small({4, 1024, 4096, "int3.g128.sym", "int4.g128.sym"});
}

}  // namespace
}  // namespace bitlaw::quant
