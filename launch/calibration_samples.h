// The samples that a model's layers are measured on, spread over the ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "data/batch.h"
#include "data/dataset.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

class CalibrationSamples {
 public:
  // The first quant.calibration.samples of the training stream's first epoch. InputError: the data set has
  // fewer, or there are more ranks than samples.
  CalibrationSamples(const trainer::RunConfig& config, const data::Dataset& train,
                     trainer::Collective& collective);

  // Calls body(batch) for this rank's micro batches, at least one, of at most eval.micro_batch_size samples,
  // in the run's precision. Called by all ranks alike; trainer::StopRequested on all when one was asked to
  // stop.
  void for_each_batch(const std::function<void(const data::Batch&)>& body) const;
  // This rank's part of batch i of `width` samples, all ranks together: consecutive shares, the first ones
  // one larger where they are not equal; nothing where the batch has fewer samples than there are ranks
  // before this one. Called by all ranks alike; StopRequested as above.
  std::optional<data::Batch> part_of_batch(std::int64_t i, std::int64_t width) const;
  std::int64_t count() const { return count_; }

 private:
  data::Batch read(std::int64_t first, std::int64_t count) const;

  const trainer::RunConfig& config_;
  const data::Dataset& train_;
  trainer::Collective& collective_;
  std::int64_t count_;
};

// Samples of one step of block_ap, all ranks together. InputError: fewer than ranks.
std::int64_t block_batch_width(const quant::CalibrationConfig& config, const CalibrationSamples& samples,
                               const trainer::Collective& collective);

}  // namespace bitlaw::launch
