// The diffusion transformer's weights, guidance, initial values, checkpointing and export.
#include "distill/models/dit.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/distill/models/network_checks.h"

namespace bitlaw::distill {
namespace {

DitShape small() {
  DitShape shape;
  shape.depth = 2;
  shape.width = 32;
  shape.num_heads = 2;
  shape.latent_side = 8;
  shape.num_classes = 5;
  return shape;
}

struct Inputs {
  explicit Inputs(const DitShape& shape, std::int64_t batch = 3) {
    at::manual_seed(12);
    x = at::randn({batch, shape.latent_channels, shape.latent_side, shape.latent_side});
    t = at::arange(batch) * 300;
    labels = at::arange(batch) % shape.num_classes;
  }
  at::Tensor x, t, labels;
};

Run run_of(Dit& model) {
  return
      [&model, inputs = Inputs(model.shape())] { return model.forward(inputs.x, inputs.t, inputs.labels); };
}

TEST(Dit, WeightsAreThePublishedOnes) {
  DitShape other = small();
  other.patch_size = 4;
  other.latent_channels = 3;
  other.mlp_ratio = 2.0;
  other.learn_sigma = false;
  for (const DitShape& shape : {small(), other, published_dit("S/2")})
    expect_published(Dit(shape), dit_weights(shape), {"pos_embed"});
}

// What `targets: [linear]` takes: the timestep's layers are an embedding.
TEST(Dit, TheTimestepEmbeddingIsNeverQuantised) {
  Dit model(small());
  std::vector<std::string> names;
  for (const auto& [name, layer] : quant::linear_layers(model)) names.push_back(name);
  std::vector<std::string> expected;
  for (const std::string block : {"blocks.0.", "blocks.1."})
    for (const char* layer : {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1"})
      expected.push_back(block + layer);
  expected.insert(expected.end(), {"final_layer.linear", "final_layer.adaLN_modulation.1"});
  EXPECT_THAT(names, testing::UnorderedElementsAreArray(expected));
  quant::QuantConfig config;
  config.method = quant::Method::rtn;
  config.weights.num_bits = 4;
  config.weights.group_size = 16;
  config.ignore = {"final_layer.linear"};  // what `head` is in a VAR
  quant::prepare(model, config, quant::ScaleInit::from_weights);
  EXPECT_EQ(quant::pack_model(model, quant::RestType::bfloat16).weights.size(), 11U);
}

TEST(Dit, OutputHasTheChannelsOfNoiseAndVariance) {
  const at::NoGradGuard no_grad;
  for (const bool learn_sigma : {false, true}) {
    DitShape shape = small();
    shape.learn_sigma = learn_sigma;
    Dit model(shape);
    make_lively(model);
    EXPECT_EQ(run_of(model)().sizes(), at::IntArrayRef({3, learn_sigma ? 8 : 4, 8, 8}));
  }
}

// A patch of the output is the linear image of its own token: with all gates closed, noise in one patch of
// the input reaches no other patch, and reaches its own, at any patch size and place.
TEST(Dit, PatchesStayInPlace) {
  const at::NoGradGuard no_grad;
  for (const std::int64_t patch : {2, 4}) {
    DitShape shape = small();
    shape.patch_size = patch;
    Dit model(shape);
    initialise(model, 3);
    model.named_parameters()["final_layer.linear.weight"].normal_();
    const Inputs inputs(shape, 1);
    at::Tensor changed = inputs.x.clone();
    changed.slice(2, patch, 2 * patch).slice(3, 0, patch).add_(1);
    const at::Tensor difference =
        (model.forward(changed, inputs.t, inputs.labels) - model.forward(inputs.x, inputs.t, inputs.labels))
            .abs();
    at::Tensor own = difference.slice(2, patch, 2 * patch).slice(3, 0, patch);
    EXPECT_GT(own.min().item<double>(), 0);
    own.zero_();
    EXPECT_EQ(difference.max().item<double>(), 0);
  }
}

TEST(Dit, GuidanceOfOneIsNoneAndOfZeroDropsTheLabel) {
  const at::NoGradGuard no_grad;
  Dit model(small());
  make_lively(model);
  const Inputs inputs(small());
  const at::Tensor with_label = model.forward(inputs.x, inputs.t, inputs.labels);
  const at::Tensor dropped = model.forward(inputs.x, inputs.t, at::full_like(inputs.labels, 5));
  const auto guided = [&](double scale) {
    return model.forward_guided(inputs.x, inputs.t, inputs.labels, scale);
  };
  const double bound = 1e-5 * with_label.abs().max().item<double>();
  EXPECT_LT((guided(1) - with_label).abs().max().item<double>(), bound);
  const at::Tensor none = guided(0);
  EXPECT_LT((none - dropped).slice(1, 0, 3).abs().max().item<double>(), bound);
  EXPECT_LT((none - with_label).slice(1, 3).abs().max().item<double>(), bound);
  EXPECT_GT((none - dropped).slice(1, 3).abs().max().item<double>(), 100 * bound);
}

TEST(Dit, BlocksOneByOne) {
  const at::NoGradGuard no_grad;
  Dit model(small());
  initialise(model, 7);
  const Inputs inputs(small());
  const auto after = [&](std::int64_t blocks) {
    return model.forward_blocks(inputs.x, inputs.t, inputs.labels, blocks);
  };
  EXPECT_EQ(after(0).sizes(), at::IntArrayRef({3, 16, 32}));
  EXPECT_TRUE(after(2).equal(after(0)));  // closed gates: the identity
  make_lively(model);
  EXPECT_FALSE(after(1).equal(after(0)));
  EXPECT_FALSE(after(2).equal(after(1)));
}

TEST(Dit, CheckpointingGivesTheSameGradientsToTheBit) {
  Dit model(small());
  make_lively(model);
  expect_checkpointing_changes_no_bit(model, run_of(model));
}

TEST(Dit, Bfloat16StaysNearFloat32) {
  Dit model(small());
  make_lively(model);
  expect_bfloat16_near_float32(run_of(model));
}

TEST(Dit, ExportGivesTheSameOutput) {
  Dit model(small()), plain(small());
  make_lively(model);
  expect_export_gives_the_same(model, run_of(model), plain, run_of(plain));
}

TEST(Dit, InitialValues) {
  DitShape shape = small();
  shape.width = 64;
  Dit a(shape), b(shape);
  initialise(a, 7);
  initialise(b, 7);
  const auto parameters = a.named_parameters(), again = b.named_parameters();
  for (const auto& item : parameters) EXPECT_TRUE(item.value().equal(again[item.key()])) << item.key();
  const auto largest = [&](const std::string& name) { return parameters[name].abs().max().item<double>(); };
  EXPECT_NEAR(largest("blocks.0.attn.qkv.weight"), std::sqrt(6.0 / (64 + 192)), 1e-4);
  EXPECT_NEAR(largest("blocks.1.mlp.fc2.weight"), std::sqrt(6.0 / (64 + 256)), 1e-4);
  EXPECT_NEAR(largest("x_embedder.proj.weight"), std::sqrt(6.0 / (64 + 16)), 1e-3);
  EXPECT_NEAR(parameters["t_embedder.mlp.2.weight"].std().item<double>(), 0.02, 1e-3);
  EXPECT_NEAR(parameters["y_embedder.embedding_table.weight"].std().item<double>(), 0.02, 2e-3);
  EXPECT_EQ(largest("blocks.0.adaLN_modulation.1.weight"), 0);
  EXPECT_EQ(run_of(a)().abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace bitlaw::distill
