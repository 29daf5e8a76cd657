// ShardDataset and SyntheticDataset as tensors.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/shard_dataset.h"
#include "data/synthetic_dataset.h"
#include "tests/data/shard_samples.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

TEST(ShardDataset, ImagesLieBetweenMinusOneAndOne) {
  const test::TemporaryFolder folder;
  test::write_dataset(folder / "d", test::image_description(9), 4);
  const ShardDataset dataset(folder / "d");
  const std::vector<std::int64_t> indices = {8, 0, 3, 4};
  const Batch batch = dataset.read(indices);
  ASSERT_EQ(batch.images.sizes(), (std::vector<std::int64_t>{4, 2, 3, 4}));
  ASSERT_EQ(batch.images.scalar_type(), at::kFloat);
  EXPECT_FALSE(batch.tokens.defined());
  const float* values = batch.images.const_data_ptr<float>();
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(batch.labels[i].item<std::int64_t>(), test::label_of(indices[static_cast<std::size_t>(i)]));
    EXPECT_EQ(batch.indices[i].item<std::int64_t>(), indices[static_cast<std::size_t>(i)]);
    for (std::int64_t e = 0; e < 24; ++e) {
      const auto byte = static_cast<double>(test::element_of(indices[static_cast<std::size_t>(i)], e, 256));
      EXPECT_NEAR(values[i * 24 + e], byte / 127.5 - 1.0, 1e-7);
    }
  }
}

TEST(ShardDataset, BlackIsMinusOneAndWhiteIsOneExactly) {
  const test::TemporaryFolder folder;
  ShardManifest description = test::image_description(1);
  description.shape = {1, 1, 256};
  ShardWriter writer(folder / "d", description, 1);
  std::vector<std::byte> bytes(256);
  for (std::size_t i = 0; i < 256; ++i) bytes[i] = static_cast<std::byte>(i);
  writer.write(0, bytes, std::vector<std::int32_t>{0});
  writer.commit();
  const Batch batch = ShardDataset(folder / "d").read(std::vector<std::int64_t>{0});
  const float* values = batch.images.const_data_ptr<float>();
  EXPECT_EQ(values[0], -1.0F);
  EXPECT_EQ(values[255], 1.0F);
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_EQ(std::lround((values[i] + 1.0F) * 127.5F), static_cast<long>(i)) << "bytes come back";
  }
}

TEST(ShardDataset, TokensOfEveryWidth) {
  const test::TemporaryFolder folder;
  for (const std::int64_t vocab_size : {256, 65536, 100000}) {
    const auto out = folder / std::to_string(vocab_size);
    const ShardManifest manifest = test::write_dataset(out, test::token_description(9, vocab_size), 4);
    const ShardDataset dataset(out);
    EXPECT_EQ(dataset.info().kind, "tokens");
    EXPECT_EQ(dataset.info().size, 9);
    EXPECT_EQ(dataset.info().num_classes, 7);
    EXPECT_EQ(dataset.info().vocab_size, vocab_size);
    EXPECT_EQ(dataset.info().tokenizer_hash, "0123456789abcdef");
    EXPECT_EQ(dataset.info().patch_nums, (std::vector<std::int64_t>{1, 2}));
    EXPECT_EQ(dataset.info().content_hash, manifest.content_hash);
    const Batch batch = dataset.read(std::vector<std::int64_t>{5, 6, 7, 1});
    ASSERT_EQ(batch.tokens.sizes(), (std::vector<std::int64_t>{4, 5}));
    EXPECT_FALSE(batch.images.defined());
    for (std::int64_t e = 0; e < 5; ++e) {
      EXPECT_EQ(batch.tokens[1][e].item<std::int64_t>(), test::element_of(6, e, vocab_size));
      EXPECT_EQ(batch.tokens[3][e].item<std::int64_t>(), test::element_of(1, e, vocab_size));
    }
  }
}

TEST(SyntheticDataset, TokensAreAFunctionOfSeedAndIndex) {
  SyntheticOptions options;
  options.size = 4000;
  options.num_classes = 4;
  options.patch_nums = {1, 2};
  options.vocab_size = 16;
  const SyntheticDataset dataset(options);
  EXPECT_EQ(dataset.info().shape, std::vector<std::int64_t>{5});
  std::vector<std::int64_t> indices(4000);
  std::iota(indices.begin(), indices.end(), 0);
  const Batch all = dataset.read(indices);
  const Batch some = dataset.read(std::vector<std::int64_t>{77, 3});
  EXPECT_TRUE(at::equal(some.tokens[0], all.tokens[77]));
  EXPECT_TRUE(at::equal(some.tokens[1], all.tokens[3]));
  EXPECT_EQ(some.labels[0].item<std::int64_t>(), 1);
  EXPECT_GE(all.tokens.min().item<std::int64_t>(), 0);
  EXPECT_LT(all.tokens.max().item<std::int64_t>(), 16);
  // the most frequent token of a class and position has probability 3/4 + 1/64
  const at::Tensor of_class = all.tokens.index_select(0, at::arange(1, 4000, 4));
  for (std::int64_t position = 0; position < 5; ++position) {
    const auto counts = at::bincount(of_class.select(1, position), {}, 16);
    EXPECT_NEAR(counts.max().item<double>() / 1000.0, 0.75 + 1.0 / 64, 0.07) << "five standard deviations";
  }
  options.seed = 1;
  const SyntheticDataset other(options);
  EXPECT_FALSE(at::equal(other.read(indices).tokens, all.tokens));
  EXPECT_NE(other.info().content_hash, dataset.info().content_hash);
}

TEST(SyntheticDataset, ImagesDifferByClassMoreThanByNoise) {
  SyntheticOptions options;
  options.kind = "images";
  options.size = 40;
  options.num_classes = 4;
  options.shape = {1, 16, 16};
  const SyntheticDataset dataset(options);
  const Batch batch = dataset.read(std::vector<std::int64_t>{0, 4, 1});
  EXPECT_LE(batch.images.abs().max().item<float>(), 1.0F);
  const auto distance = [&](std::int64_t a, std::int64_t b) {
    return (batch.images[a] - batch.images[b]).square().mean().item<double>();
  };
  EXPECT_NEAR(distance(0, 1), 0.02, 0.01) << "two draws of noise 0.1";
  EXPECT_GT(distance(0, 2), 0.1);
}

}  // namespace
}  // namespace bitlaw::data
