#include "data/loader.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "data/formats/input_error.h"
#include "data/seed.h"
#include "data/synthetic_dataset.h"
#include "data/transform.h"

namespace bitlaw::data {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::shared_ptr<const Dataset> tokens(std::int64_t size) {
  SyntheticOptions options;
  options.size = size;
  options.patch_nums = {1, 2, 3};
  return std::make_shared<SyntheticDataset>(options);
}

std::shared_ptr<const Dataset> images(std::int64_t size) {
  SyntheticOptions options;
  options.kind = "images";
  options.size = size;
  options.shape = {2, 6, 5};
  return std::make_shared<SyntheticDataset>(options);
}

LoaderOptions split(int world_size, int rank, std::int64_t micro_batch_size, int workers = 2) {
  LoaderOptions options;
  options.global_batch_size = 24;
  options.micro_batch_size = micro_batch_size;
  options.world_size = world_size;
  options.rank = rank;
  options.seed = 5;
  options.workers = workers;
  return options;
}

struct Column {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> indices;
  at::Tensor samples;
  at::Tensor labels;
};

Column column_of(const Batch& batch) {
  const auto values = [](const at::Tensor& tensor) {
    const std::int64_t* begin = tensor.const_data_ptr<std::int64_t>();
    return std::vector<std::int64_t>(begin, begin + tensor.numel());
  };
  return {values(batch.sample_ids), values(batch.indices),
          batch.images.defined() ? batch.images : batch.tokens, batch.labels};
}

// The global batch of a step, put together from all ranks and micro batches.
Column global_batch(const std::shared_ptr<const Dataset>& dataset, const LoaderOptions& like,
                    std::int64_t step) {
  Column whole;
  std::vector<at::Tensor> samples;
  std::vector<at::Tensor> labels;
  for (int rank = 0; rank < like.world_size; ++rank) {
    LoaderOptions options = like;
    options.rank = rank;
    Loader loader(dataset, options);
    for (std::int64_t micro = 0; micro < loader.micro_batches(); ++micro) {
      const Batch batch = loader.batch_at(step, micro);
      EXPECT_EQ(batch.size(), options.micro_batch_size);
      EXPECT_EQ(batch.step, step);
      const Column part = column_of(batch);
      whole.ids.insert(whole.ids.end(), part.ids.begin(), part.ids.end());
      whole.indices.insert(whole.indices.end(), part.indices.begin(), part.indices.end());
      samples.push_back(part.samples);
      labels.push_back(part.labels);
    }
  }
  whole.samples = at::cat(samples);
  whole.labels = at::cat(labels);
  return whole;
}

void expect_equal(const Column& a, const Column& b) {
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_TRUE(at::equal(a.samples, b.samples));
  EXPECT_TRUE(at::equal(a.labels, b.labels));
}

TEST(Loader, EverySplitSeesTheSameGlobalBatch) {
  const auto dataset = images(37);  // no multiple of the batch: epochs end inside batches
  for (const std::int64_t step : {0, 1, 2, 10}) {
    LoaderOptions alone = split(1, 0, 24, 0);
    alone.flip = true;
    alone.crop_padding = 2;
    const Column whole = global_batch(dataset, alone, step);
    for (const int world_size : {1, 2, 3, 4, 6}) {
      for (const std::int64_t micro : {1, 2, 4, 24 / world_size}) {
        if (24 % (world_size * micro) != 0) continue;
        LoaderOptions options = split(world_size, 0, micro, 1);
        options.flip = true;
        options.crop_padding = 2;
        expect_equal(global_batch(dataset, options, step), whole);
      }
    }
  }
}

TEST(Loader, TheStreamIsThePermutationOfEachEpoch) {
  const auto dataset = tokens(37);
  Loader loader(dataset, split(1, 0, 8));
  std::int64_t place = 0;
  for (std::int64_t step = 0; step < 8; ++step) {
    for (std::int64_t micro = 0; micro < 3; ++micro) {
      const Column batch = column_of(loader.batch_at(step, micro));
      for (std::size_t i = 0; i < 8; ++i, ++place) {
        EXPECT_EQ(batch.ids[i], place);
        const Permutation order(37, 5, static_cast<std::uint64_t>(place / 37));
        EXPECT_EQ(batch.indices[i], static_cast<std::int64_t>(order(static_cast<std::uint64_t>(place % 37))));
      }
    }
  }
}

TEST(Loader, AnEpochShowsEverySampleOnceAndEpochsDiffer) {
  Loader loader(tokens(48), split(1, 0, 24));
  std::vector<std::vector<std::int64_t>> epochs;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int64_t> seen;
    for (std::int64_t step = 2 * epoch; step < 2 * epoch + 2; ++step) {
      const auto indices = column_of(loader.batch_at(step, 0)).indices;
      seen.insert(seen.end(), indices.begin(), indices.end());
    }
    EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 48U);
    epochs.push_back(seen);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST(Loader, WithoutShufflingTheOrderIsTheDataSets) {
  LoaderOptions options = split(1, 0, 24);
  options.shuffle = false;
  Loader loader(tokens(10), options);
  const auto indices = column_of(loader.batch_at(1, 0)).indices;
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(indices[i], static_cast<std::int64_t>((24 + i) % 10));
}

TEST(Loader, ADataSetSmallerThanABatchIsRepeated) {
  Loader loader(tokens(5), split(2, 1, 4));
  const Column batch = column_of(loader.batch_at(0, 2));
  EXPECT_EQ(batch.ids, (std::vector<std::int64_t>{20, 21, 22, 23}));
  for (const std::int64_t index : batch.indices) EXPECT_LT(index, 5);
}

TEST(Loader, SeekingEqualsGoingForward) {
  const auto dataset = tokens(100);
  Loader forward(dataset, split(2, 1, 4, 3));
  std::vector<Column> stream;
  for (std::int64_t step = 0; step < 12; ++step) {
    for (std::int64_t micro = 0; micro < 3; ++micro)
      stream.push_back(column_of(forward.batch_at(step, micro)));
  }
  Loader seeking(dataset, split(2, 1, 4, 2));
  for (const std::int64_t number : {35, 0, 17, 18, 19, 3, 3, 34, 35}) {
    expect_equal(column_of(seeking.batch_at(number / 3, number % 3)),
                 stream[static_cast<std::size_t>(number)]);
  }
}

TEST(Loader, AugmentationFollowsTheSampleId) {
  const auto dataset = images(30);
  LoaderOptions options = split(1, 0, 24);
  Loader plain(dataset, options);
  options.flip = true;
  options.crop_padding = 1;
  Loader augmented(dataset, options);
  const Batch before = plain.batch_at(3, 0);
  const Batch after = augmented.batch_at(3, 0);
  int changed = 0;
  for (std::int64_t i = 0; i < 24; ++i) {
    at::Tensor expected = before.images[i].clone();
    augment({expected.mutable_data_ptr<float>(), 60}, 2, 6, 5,
            draw_augmentation({true, 1, 5}, before.sample_ids[i].item<std::int64_t>()));
    EXPECT_TRUE(at::equal(after.images[i], expected));
    changed += at::equal(after.images[i], before.images[i]) ? 0 : 1;
  }
  EXPECT_GT(changed, 12);
}

// Slow and, at one index, broken.
class DifficultDataset : public Dataset {
 public:
  explicit DifficultDataset(std::int64_t broken) : broken_(broken) {}
  const DatasetInfo& info() const override { return inner_->info(); }
  Batch read(std::span<const std::int64_t> indices) const override {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (std::find(indices.begin(), indices.end(), broken_) != indices.end()) {
      throw InputError("sample " + std::to_string(broken_) + " is damaged", "why", "remedy");
    }
    return inner_->read(indices);
  }

 private:
  std::int64_t broken_;
  std::shared_ptr<const Dataset> inner_ = tokens(48);
};

TEST(Loader, ErrorsOfWorkersReachTheCaller) {
  for (const int workers : {0, 1, 3}) {
    LoaderOptions options = split(1, 0, 8, workers);
    options.shuffle = false;
    Loader loader(std::make_shared<DifficultDataset>(20), options);
    loader.batch_at(0, 0);
    loader.batch_at(0, 1);
    try {
      loader.batch_at(0, 2);
      FAIL() << "no exception";
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("sample 20 is damaged [why]; remedy"));
    }
    EXPECT_EQ(loader.batch_at(1, 0).size(), 8);
  }
}

TEST(Loader, CountsTheTimeItWaits) {
  LoaderOptions options = split(1, 0, 8, 0);
  Loader reading(std::make_shared<DifficultDataset>(-1), options);
  EXPECT_EQ(reading.wait_seconds(), 0.0);
  for (std::int64_t micro = 0; micro < 3; ++micro) reading.batch_at(0, micro);
  EXPECT_GE(reading.wait_seconds(), 0.015);

  options.workers = 2;
  Loader prefetching(std::make_shared<DifficultDataset>(-1), options);
  prefetching.batch_at(0, 0);
  const double first = prefetching.wait_seconds();
  for (std::int64_t number = 1; number < 9; ++number) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the step takes longer than the data
    prefetching.batch_at(number / 3, number % 3);
  }
  EXPECT_LT(prefetching.wait_seconds() - first, 0.02) << "of 160 ms";
}

std::string refusal(const std::shared_ptr<const Dataset>& dataset, const LoaderOptions& options) {
  try {
    Loader(dataset, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Loader, RefusesWhatCannotBeLoaded) {
  EXPECT_THAT(refusal(tokens(0), split(1, 0, 8)), HasSubstr("0 samples [an empty data set trains nothing]"));
  EXPECT_THAT(refusal(tokens(5), split(5, 0, 1)),
              AllOf(HasSubstr("global_batch_size 24 is not a positive multiple of 5 ranks"),
                    HasSubstr("micro_batch_size 1")));
  EXPECT_THAT(refusal(tokens(5), split(1, 0, 0)), HasSubstr("not a positive multiple"));
  LoaderOptions options = split(1, 0, 8);
  options.flip = true;
  EXPECT_THAT(refusal(tokens(5), options), HasSubstr("tokens cannot be mirrored or shifted"));
  EXPECT_EQ(refusal(images(5), options), "");
  Loader loader(tokens(5), split(1, 0, 8));
  EXPECT_THROW(loader.batch_at(-1, 0), std::out_of_range);
  EXPECT_THROW(loader.batch_at(0, 3), std::out_of_range);
}

}  // namespace
}  // namespace bitlaw::data
