// LlamaGen's transformer: weights, causality, sampling one token at a time, initial values, export.
#include "distill/models/raster_ar.h"

#include <gmock/gmock.h>

#include "tests/distill/models/network_checks.h"
#include "tests/support/message_of.h"

namespace bitlaw::distill {
namespace {

using testing::HasSubstr;

RasterShape small() {
  RasterShape shape;
  shape.depth = 2;
  shape.width = 32;
  shape.num_heads = 2;
  shape.num_classes = 5;
  shape.vocab_size = 48;
  shape.tokens_per_side = 3;
  return shape;
}

struct Inputs {
  explicit Inputs(const RasterShape& shape) {
    at::manual_seed(12);
    labels = at::arange(3) % (shape.num_classes + 1);
    tokens = at::randint(shape.vocab_size, {3, shape.tokens_per_side * shape.tokens_per_side - 1}, at::kLong);
  }
  at::Tensor labels, tokens;
};

Run run_of(RasterAr& model) {
  return [&model, inputs = Inputs(model.shape())] { return model.forward(inputs.labels, inputs.tokens); };
}

TEST(RasterAr, WeightsAreThePublishedOnes) {
  RasterShape other = small();
  other.has_dropped_label = false;
  other.width = 96;
  for (const RasterShape& shape : {small(), other}) expect_published(RasterAr(shape), raster_weights(shape));
}

TEST(RasterAr, ALaterTokenReachesNoEarlierLogit) {
  const at::NoGradGuard no_grad;
  RasterAr model(small());
  make_lively(model);
  const Inputs inputs(small());
  const at::Tensor before = model.forward(inputs.labels, inputs.tokens);
  EXPECT_EQ(before.sizes(), at::IntArrayRef({3, 9, 48}));
  at::Tensor changed = inputs.tokens.clone();
  changed.select(1, 4).add_(1).remainder_(48);
  const at::Tensor difference = (model.forward(inputs.labels, changed) - before).abs();
  EXPECT_EQ(difference.slice(1, 0, 5).max().item<double>(), 0);
  for (std::int64_t j = 5; j < 9; ++j) EXPECT_GT(difference.select(1, j).max().item<double>(), 1e-4) << j;
}

TEST(RasterAr, OneTokenAtATimeAndPrefixesEqualTheFullForward) {
  const at::NoGradGuard no_grad;
  RasterAr model(small());
  make_lively(model);
  const Inputs inputs(small());
  const at::Tensor full = model.forward(inputs.labels, inputs.tokens);
  const double bound = 2e-6 * full.abs().max().item<double>();
  RasterCache cache;
  for (std::int64_t j = 0; j < 9; ++j) {
    const at::Tensor previous = j == 0 ? at::Tensor() : inputs.tokens.select(1, j - 1);
    const at::Tensor next = model.forward_next(inputs.labels, previous, cache);
    EXPECT_LT((next - full.select(1, j)).abs().max().item<double>(), bound) << j;
    const at::Tensor prefix = model.forward(inputs.labels, inputs.tokens.slice(1, 0, j));
    EXPECT_LT((prefix - full.slice(1, 0, j + 1)).abs().max().item<double>(), bound) << j;
  }
}

TEST(RasterAr, MoreTokensThanTheGridHasAreRefused) {
  RasterAr model(small());
  const Inputs inputs(small());
  const at::Tensor all = at::cat({inputs.tokens, inputs.tokens.slice(1, 0, 1)}, 1);
  EXPECT_THAT(test::message_of([&] { model.forward(inputs.labels, all); }),
              HasSubstr("9 tokens are given to a model of 9"));
  RasterCache cache;
  cache.seen = 9;
  EXPECT_THAT(test::message_of([&] { model.forward_next(inputs.labels, all.select(1, 0), cache); }),
              HasSubstr("9 tokens are given to a model of 9"));
}

TEST(RasterAr, CheckpointingGivesTheSameGradientsToTheBit) {
  RasterAr model(small());
  make_lively(model);
  expect_checkpointing_changes_no_bit(model, run_of(model));
}

TEST(RasterAr, Bfloat16StaysNearFloat32) {
  RasterAr model(small());
  make_lively(model);
  expect_bfloat16_near_float32(run_of(model));
}

TEST(RasterAr, ExportGivesTheSameLogits) {
  RasterAr model(small()), plain(small());
  make_lively(model);
  expect_export_gives_the_same(model, run_of(model), plain, run_of(plain));
}

TEST(RasterAr, InitialValues) {
  RasterAr a(small()), b(small());
  initialise(a, 7);
  initialise(b, 7);
  const auto parameters = a.named_parameters(), again = b.named_parameters();
  for (const auto& item : parameters) EXPECT_TRUE(item.value().equal(again[item.key()])) << item.key();
  EXPECT_NEAR(parameters["layers.1.feed_forward.w2.weight"].std().item<double>(), 0.02, 1e-3);
  EXPECT_NEAR(parameters["tok_embeddings.weight"].std().item<double>(), 0.02, 2e-3);
  EXPECT_TRUE(parameters["layers.0.ffn_norm.weight"].equal(at::ones({32})));
  EXPECT_TRUE(parameters["norm.weight"].equal(at::ones({32})));
  EXPECT_EQ(run_of(a)().abs().max().item<double>(), 0);
  const Inputs inputs(small());
  EXPECT_FALSE(a.forward_blocks(inputs.labels, inputs.tokens, 1)
                   .equal(a.forward_blocks(inputs.labels, inputs.tokens, 2)));
}

}  // namespace
}  // namespace bitlaw::distill
