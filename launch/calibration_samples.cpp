#include "launch/calibration_samples.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "data/formats/input_error.h"
#include "data/seed.h"
#include "trainer/autocast.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_vote.h"

namespace bitlaw::launch {

CalibrationSamples::CalibrationSamples(const trainer::RunConfig& config, const data::Dataset& train,
                                       trainer::Collective& collective)
    : config_(config), train_(train), collective_(collective), count_(config.quant.calibration.samples) {
  const std::string samples = "quant.calibration.samples: " + std::to_string(count_);
  if (count_ > train.info().size) {
    throw data::InputError(samples + ", but data.train has " + std::to_string(train.info().size),
                           "each sample is used once",
                           "lower quant.calibration.samples, or name a larger data set");
  }
  if (count_ < collective.size()) {
    throw data::InputError(samples + " on " + std::to_string(collective.size()) + " ranks",
                           "every rank measures some", "raise quant.calibration.samples, or use fewer ranks");
  }
}

data::Batch CalibrationSamples::read(std::int64_t first, std::int64_t count) const {
  const data::Permutation order(static_cast<std::uint64_t>(train_.info().size),
                                static_cast<std::uint64_t>(config_.run.seed), 0);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = first; i < first + count; ++i) {
    indices.push_back(static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i))));
  }
  data::Batch batch = train_.read(indices);
  batch.sample_ids = at::arange(first, first + count, at::kLong);
  batch.step = 0;
  return batch;
}

void CalibrationSamples::for_each_batch(const std::function<void(const data::Batch&)>& body) const {
  const std::int64_t ranks = collective_.size();
  const std::int64_t width = std::min(config_.eval.micro_batch_size, count_ / ranks);
  const std::int64_t batches = (count_ + width - 1) / width;
  trainer::StopVote vote(collective_);
  for (std::int64_t first = 0; first < batches; first += ranks) {
    if (vote.next(trainer::stop_requested())) {
      throw trainer::StopRequested("asked to stop during calibration");
    }
    const std::int64_t begin = (first + collective_.rank()) * width;
    if (begin < count_) {
      const trainer::Autocast autocast(config_.train.precision);
      body(read(begin, std::min(width, count_ - begin)));
    }
  }
}

std::optional<data::Batch> CalibrationSamples::part_of_batch(std::int64_t i, std::int64_t width) const {
  trainer::StopVote vote(collective_);
  vote.next(trainer::stop_requested());
  if (vote.next(false)) {
    throw trainer::StopRequested("asked to stop during calibration");
  }
  const std::int64_t ranks = collective_.size();
  const std::int64_t rank = collective_.rank();
  const std::int64_t samples = std::min(width, count_ - i * width);
  const std::int64_t share = samples / ranks;
  const std::int64_t larger = samples % ranks;  // ranks with one sample more
  const std::int64_t first = rank * share + std::min(rank, larger);
  const std::int64_t mine = share + (rank < larger ? 1 : 0);
  return mine > 0 ? std::optional(read(i * width + first, mine)) : std::nullopt;
}

std::int64_t block_batch_width(const quant::CalibrationConfig& config, const CalibrationSamples& samples,
                               const trainer::Collective& collective) {
  const std::int64_t width = std::min(config.block_batch_size, samples.count());
  if (width < collective.size()) {
    throw data::InputError("quant.calibration.block_batch_size: " + std::to_string(width) + " on " +
                               std::to_string(collective.size()) + " ranks",
                           "every rank has a part of each batch",
                           "raise quant.calibration.block_batch_size, or use fewer ranks");
  }
  return width;
}

}  // namespace bitlaw::launch
