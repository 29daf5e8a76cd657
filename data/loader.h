// The stream of training batches, as a function of the step alone.
//
// Element i of the stream is sample Permutation(N, seed, i div N)(i mod N). A step of global batch G covers
// elements [step*G, (step+1)*G); micro batch j of rank r, with m micro batches of size b a rank (G = ranks *
// m * b), is the slice that starts at step*G + (r*m + j)*b. So every split of G over ranks and micro batches
// sees the same global batch. Nothing has to be saved: batch_at of any step costs one read. Going forward
// hits a prefetch queue filled by worker threads; any other step empties the queue and seeks.
#pragma once

#include <cstdint>
#include <memory>

#include "data/batch.h"
#include "data/dataset.h"

namespace bitlaw::data {

struct LoaderOptions {
  std::int64_t global_batch_size = 0;
  std::int64_t micro_batch_size = 0;
  int rank = 0;
  int world_size = 1;
  std::uint64_t seed = 0;
  int workers = 1;  // 0: read in the caller's thread
  bool shuffle = true;
  bool flip = false;  // images only
  std::int64_t crop_padding = 0;
};

// InputError when pictures' augmentation is asked of tokens.
void check_augmentation(const DatasetInfo& info, bool flip, std::int64_t crop_padding);

class Loader {
 public:
  // InputError: empty data set, indivisible batch.
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t micro_batches() const;  // per rank and step
  // Micro batch `micro` of `step` for this rank. One thread calls it.
  Batch batch_at(std::int64_t step, std::int64_t micro);
  double wait_seconds() const;  // time spent in batch_at waiting for data, since construction

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::data
