// Checkpoints that PyTorch wrote under the published names, loaded into our models.
#include "distill/models/load_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "distill/models/dit.h"
#include "distill/models/raster_ar.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "distill/models/weights.h"
#include "quant/containers/model_state.h"
#include "tests/support/file_bytes.h"
#include "tests/support/memory_file.h"

namespace bitlaw::distill {
namespace {

using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;

std::string file_of(const std::string& name) {
  return std::string(BITLAW_SOURCE_DIR) + "/tests/distill/models/files/" + name;
}

VarShape tiny_var() {
  VarShape shape;
  shape.depth = 2;
  shape.width = 16;
  shape.num_heads = 2;
  shape.num_classes = 5;
  shape.vocab_size = 32;
  shape.latent_channels = 8;
  shape.patch_nums = {1, 2, 3};
  return shape;
}

VqConfig tiny_vq() {
  VqConfig config;
  config.base_channels = 4;
  config.channel_multipliers = {1, 2};
  config.res_blocks = 1;
  config.group_norm_groups = 4;
  config.latent_channels = 8;
  config.codebook_size = 32;
  config.patch_nums = {1, 2, 3, 4};
  config.codebook = CodebookTraining::gradient;
  return config;
}

DitShape tiny_dit() {
  DitShape shape;
  shape.depth = 2;
  shape.width = 16;
  shape.num_heads = 2;
  shape.latent_side = 8;
  shape.num_classes = 5;
  return shape;
}

RasterShape tiny_raster() {
  RasterShape shape;
  shape.depth = 1;
  shape.width = 16;
  shape.num_heads = 2;
  shape.num_classes = 5;
  shape.vocab_size = 32;
  return shape;
}

// The values that make_weights.py gives a tensor, by its name.
at::Tensor filled(const std::string& name, at::IntArrayRef shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    count *= extent;
  }
  const auto length = static_cast<std::int64_t>(name.size());
  return ((at::arange(length, count + length).remainder(251) - 125).to(at::kFloat) / 128).reshape(shape);
}

// All names of a list are in the file with their shapes, and no others.
void expect_names(const std::map<std::string, at::Tensor>& state, const std::vector<WeightShape>& list) {
  EXPECT_EQ(state.size(), list.size());
  for (const WeightShape& weight : list) {
    ASSERT_EQ(state.count(weight.name), 1U) << weight.name;
    EXPECT_EQ(state.at(weight.name).sizes(), at::IntArrayRef(weight.shape)) << weight.name;
  }
}

void expect_values(torch::nn::Module& model) {
  for (const auto& [name, tensor] : quant::state_of(model, quant::StateScope::deployed)) {
    EXPECT_TRUE(at::equal(tensor, filled(name, tensor.sizes()))) << name;
  }
}

TEST(LoadWeights, ListsAreTheNamesOfTheFilesAndOfTheModels) {
  expect_names(read_weights(file_of("var.pth"), ""), var_weights(tiny_var()));
  expect_names(read_weights(file_of("vq.pth"), ""), vq_weights(tiny_vq()));
  Var model(tiny_var());
  std::size_t parameters = 0;
  for (const WeightShape& weight : var_weights(tiny_var())) {
    parameters += weight.is_buffer ? 0 : 1;
  }
  EXPECT_EQ(quant::state_of(model, quant::StateScope::deployed).size(), parameters);
}

TEST(LoadWeights, VarFromEveryKindOfFile) {
  for (const auto& [file, section] : std::vector<std::pair<std::string, std::string>>{
           {"var.pth", ""}, {"var.safetensors", ""}, {"var_training.pt", "ema"}}) {
    Var model(tiny_var());
    load_weights(model, file_of(file), section);
    SCOPED_TRACE(file);
    expect_values(model);
  }
}

TEST(LoadWeights, Tokenizer) {
  VqTokenizer model(tiny_vq());
  load_weights(model, file_of("vq.pth"), "");
  expect_values(model);
}

TEST(LoadWeights, DitFromEveryKindOfFile) {
  expect_names(read_weights(file_of("dit.pt"), ""), dit_weights(tiny_dit()));
  for (const char* file : {"dit.pt", "dit.safetensors"}) {
    Dit model(tiny_dit());
    load_weights(model, file_of(file), "");
    SCOPED_TRACE(file);
    expect_values(model);
  }
}

TEST(LoadWeights, LlamaGenFromEveryKindOfFile) {
  expect_names(read_weights(file_of("llamagen.pt"), "model"), raster_weights(tiny_raster()));
  for (const auto& [file, section] : std::vector<std::pair<std::string, std::string>>{
           {"llamagen.pt", "model"}, {"llamagen.safetensors", ""}}) {
    RasterAr model(tiny_raster());
    load_weights(model, file_of(file), section);
    SCOPED_TRACE(file);
    expect_values(model);
  }
}

// pos_embed alone tells a DiT of 512 pixels from one of 256.
TEST(LoadWeights, TablesOfAnotherGeometryAreRefused) {
  DitShape larger = tiny_dit();
  larger.latent_side = 16;
  Dit other(larger);
  EXPECT_THAT(message_of([&] { load_weights(other, file_of("dit.pt"), ""); }),
              AllOf(HasSubstr("dit.pt: tables that the model computes differ"),
                    HasSubstr("pos_embed: shape [1, 16, 16], the model computes [1, 64, 16]")));
  larger.depth = 3;
  Dit deeper(larger);
  EXPECT_THAT(message_of([&] { load_weights(deeper, file_of("dit.pt"), ""); }),
              AllOf(HasSubstr("missing: blocks.2.mlp.fc1.bias"), HasSubstr("pos_embed: shape [1, 16, 16]")));
  Dit changed(tiny_dit());
  changed.named_buffers()["pos_embed"].select(1, 3).add_(0.01);
  EXPECT_THAT(message_of([&] { load_weights(changed, file_of("dit.pt"), ""); }),
              HasSubstr("pos_embed: other values than the model computes"));
  VarShape levels = tiny_var();
  levels.patch_nums = {1, 3, 2};
  Var reordered(levels);
  EXPECT_THAT(message_of([&] { load_weights(reordered, file_of("var.pth"), ""); }),
              AllOf(HasSubstr("lvl_1L: other values"), HasSubstr("attn_bias_for_masking: other values")));
}

TEST(LoadWeights, SectionsAreListed) {
  EXPECT_THAT(weight_sections(file_of("var.pth")), ElementsAre(Key("")));
  EXPECT_THAT(weight_sections(file_of("var.safetensors")), ElementsAre(Key("")));
  EXPECT_THAT(weight_sections(file_of("dit.pt")), ElementsAre(Key("")));
  EXPECT_THAT(weight_sections(file_of("llamagen.pt")), ElementsAre(Key("model")));
  EXPECT_THAT(weight_sections(file_of("var_training.pt")),
              ElementsAre(Key("ema"), Key("model"), Key("opt/state/0")));
  EXPECT_THAT(message_of([] { read_weights(file_of("var_training.pt"), ""); }),
              AllOf(HasSubstr("var_training.pt: no tensors in the file itself"),
                    HasSubstr("it holds tensors in: ema, model, opt/state/0")));
  EXPECT_THAT(message_of([] { read_weights(file_of("var.pth"), "ema"); }), HasSubstr("no tensors in ema"));
  EXPECT_THAT(message_of([] { read_weights(file_of("var.safetensors"), "ema"); }),
              HasSubstr("no tensors in ema"));
}

TEST(LoadWeights, EverythingThatDoesNotFitIsListedAtOnce) {
  VarShape shape = tiny_var();
  shape.depth = 3;
  shape.num_classes = 7;
  Var deeper(shape);
  EXPECT_THAT(
      message_of([&] { load_weights(deeper, file_of("var.pth"), ""); }),
      AllOf(HasSubstr("var.pth: the state does not fit"), HasSubstr("missing: blocks.2.ffn.fc2.weight"),
            HasSubstr("missing: blocks.2.ada_lin.1.bias"), HasSubstr("class_emb.weight: shape [6, 16]")));
  shape = tiny_var();
  shape.depth = 1;
  Var shallower(shape);
  EXPECT_THAT(message_of([&] { load_weights(shallower, file_of("var.pth"), ""); }),
              HasSubstr("unused: blocks.1.attn.mat_qkv.weight"));
  EXPECT_THAT(message_of([&] { load_weights(shallower, file_of("var_training.pt"), "model"); }),
              AllOf(HasSubstr("missing: pos_start"), testing::Not(HasSubstr("unused"))));
}

// Its damage is found when a tensor is read, and of a file of another model none is.
TEST(LoadWeights, AFileOfAnotherModelIsNotRead) {
  std::string bytes = test::read_bytes(file_of("var.pth"));
  const at::Tensor head = filled("head.weight", {32, 16});
  const std::string stored(static_cast<const char*>(head.const_data_ptr()), head.nbytes());
  ASSERT_NE(bytes.find(stored), std::string::npos);
  bytes[bytes.find(stored)] ^= 1;
  const test::MemoryFile file(bytes);
  Var model(tiny_var());
  EXPECT_THAT(message_of([&] { load_weights(model, file.path(), ""); }), HasSubstr("has CRC-32"));
  VarShape shape = tiny_var();
  shape.depth = 1;
  Var shallower(shape);
  EXPECT_THAT(message_of([&] { load_weights(shallower, file.path(), ""); }),
              HasSubstr("unused: blocks.1.attn.mat_qkv.weight"));
}

}  // namespace
}  // namespace bitlaw::distill
