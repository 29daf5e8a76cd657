// Sums gradients over ranks while backward still runs.
//
// Parameters are laid into buckets of about bucket_bytes in the reverse of their order (the order in which
// backward makes gradients). Hooks on the gradient accumulators copy a finished gradient into its bucket; a
// full bucket is reduced at once, always in bucket order, and earlier ones are pushed along (MPI_Test) from
// every later hook, because OpenMPI makes no progress by itself. Gradients are averaged over ranks and micro
// batches.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "distill/task.h"
#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

class GradReducer {
 public:
  GradReducer(const std::vector<distill::NamedParameter>& parameters, Collective& collective,
              std::int64_t bucket_bytes);
  ~GradReducer();

  // Before backward of the last micro batch; micro_batches is the number of this step.
  void arm(std::int64_t micro_batches);
  // After it: waits, leaves the averaged gradients in .grad (views of the buckets). flag: any rank's wish to
  // stop, carried in the last bucket; returns whether any rank raised it.
  bool finish(bool flag);
  double wait_seconds() const;  // spent waiting in finish since construction

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::trainer
