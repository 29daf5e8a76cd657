#include "data/loader.h"

#include <chrono>
#include <stdexcept>

#include "data/formats/input_error.h"
#include "data/prefetcher.h"
#include "data/seed.h"
#include "data/transform.h"

namespace bitlaw::data {
namespace {

using Clock = std::chrono::steady_clock;

void check_dataset(const DatasetInfo& info, const LoaderOptions& options) {
  if (info.size < 1) {
    throw InputError("the data set has 0 samples", "an empty data set trains nothing",
                     "check data.train and data.validation");
  }
  check_augmentation(info, options.flip, options.crop_padding);
}

void check_split(const LoaderOptions& options) {
  const std::int64_t per_round = options.world_size * options.micro_batch_size;
  if (options.global_batch_size < 1 || options.micro_batch_size < 1 ||
      options.global_batch_size % per_round != 0) {
    throw InputError("train.global_batch_size " + std::to_string(options.global_batch_size) +
                         " is not a positive multiple of " + std::to_string(options.world_size) +
                         " ranks x train.micro_batch_size " + std::to_string(options.micro_batch_size),
                     "every rank must do the same whole number of micro batches",
                     "change one of the three numbers");
  }
}

}  // namespace

void check_augmentation(const DatasetInfo& info, bool flip, std::int64_t crop_padding) {
  if (info.kind != "images" && (flip || crop_padding > 0)) {
    throw InputError("data.flip and data.crop_padding are set for a data set of " + info.kind,
                     "tokens cannot be mirrored or shifted",
                     "switch both off, or train on images, which are tokenised on the fly");
  }
}

struct Loader::Impl {
  Impl(std::shared_ptr<const Dataset> from, const LoaderOptions& settings)
      : dataset(std::move(from)),
        options(settings),
        augmentation{settings.flip, settings.crop_padding, settings.seed},
        micro_batches(settings.global_batch_size / (settings.world_size * settings.micro_batch_size)) {}

  // Place in the stream of the first sample of the micro batch with this number (step * m + micro).
  std::int64_t first_place(std::int64_t number) const {
    const std::int64_t step = number / micro_batches;
    const std::int64_t micro = number % micro_batches;
    return step * options.global_batch_size +
           (options.rank * micro_batches + micro) * options.micro_batch_size;
  }

  void fill_indices(std::int64_t first, std::span<std::int64_t> indices) const {
    const auto size = static_cast<std::uint64_t>(dataset->info().size);
    auto place = static_cast<std::uint64_t>(first);
    Permutation order(size, options.seed, place / size);
    for (std::int64_t& index : indices) {
      if (place % size == 0) order = Permutation(size, options.seed, place / size);
      const std::uint64_t within = place % size;
      index = static_cast<std::int64_t>(options.shuffle ? order(within) : within);
      ++place;
    }
  }

  void augment_images(Batch& batch) const {
    if (!augmentation.any()) return;
    const auto shape = batch.images.sizes();
    const auto pixels = static_cast<std::size_t>(shape[1] * shape[2] * shape[3]);
    float* images = batch.images.mutable_data_ptr<float>();
    const std::int64_t* ids = batch.sample_ids.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < shape[0]; ++i) {
      augment({images + static_cast<std::size_t>(i) * pixels, pixels}, shape[1], shape[2], shape[3],
              draw_augmentation(augmentation, ids[i]));
    }
  }

  Batch make(std::int64_t number) const {
    const std::int64_t first = first_place(number);
    std::vector<std::int64_t> indices(static_cast<std::size_t>(options.micro_batch_size));
    fill_indices(first, indices);
    Batch batch = dataset->read(indices);
    batch.step = number / micro_batches;
    batch.sample_ids = at::empty({options.micro_batch_size}, at::kLong);
    std::int64_t* ids = batch.sample_ids.mutable_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < options.micro_batch_size; ++i) ids[i] = first + i;
    augment_images(batch);
    return batch;
  }

  const std::shared_ptr<const Dataset> dataset;
  const LoaderOptions options;
  const AugmentOptions augmentation;
  const std::int64_t micro_batches;
  Clock::duration waited{};
  std::unique_ptr<Prefetcher<Batch>> prefetcher;  // last: its threads use the members above
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options) {
  check_dataset(dataset->info(), options);
  check_split(options);
  impl_ = std::make_unique<Impl>(std::move(dataset), options);
  if (options.workers > 0) {
    impl_->prefetcher = std::make_unique<Prefetcher<Batch>>(
        [impl = impl_.get()](std::int64_t number) { return impl->make(number); }, options.workers,
        2 * static_cast<std::int64_t>(options.workers) + 2);
  }
}

Loader::~Loader() = default;

std::int64_t Loader::micro_batches() const {
  return impl_->micro_batches;
}

Batch Loader::batch_at(std::int64_t step, std::int64_t micro) {
  if (step < 0 || micro < 0 || micro >= impl_->micro_batches) {
    throw std::out_of_range("Loader::batch_at(" + std::to_string(step) + ", " + std::to_string(micro) + ")");
  }
  const auto start = Clock::now();
  const std::int64_t number = step * impl_->micro_batches + micro;
  Batch batch = impl_->prefetcher ? impl_->prefetcher->take(number) : impl_->make(number);
  impl_->waited += Clock::now() - start;
  return batch;
}

double Loader::wait_seconds() const {
  return std::chrono::duration<double>(impl_->waited).count();
}

}  // namespace bitlaw::data
