// Sums gradients over ranks while backward still runs.
//
// Parameters are laid into buckets of about bucket_bytes in the reverse of their order (the order in which
// backward makes gradients). .grad of a parameter is a view of its bucket, so backward adds in place; hooks
// on the gradient accumulators count, and a full bucket is reduced at once, always in bucket order, and
// earlier ones are pushed along (MPI_Test) from every later hook, because OpenMPI makes no progress by
// itself. Gradients are averaged over ranks and micro batches. A parameter that a backward does not reach has
// the gradient zero. How often each parameter is visited in one backward (recomputed blocks share parameters)
// is learned from the first step, which therefore does not overlap.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "distill/task.h"
#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// Facts of one rank that all must know before they go on.
struct StepFlags {
  bool stop = false;        // asked to save and leave
  bool not_finite = false;  // a loss of this step is not finite
};

class GradReducer {
 public:
  // float32 parameters on the CPU (std::invalid_argument otherwise).
  GradReducer(const std::vector<distill::NamedParameter>& parameters, Collective& collective,
              std::int64_t bucket_bytes);
  ~GradReducer();

  // Before backward of the first micro batch: gradients become zero.
  void clear();
  // Before backward of the last micro batch; micro_batches is the number of this step.
  void arm(std::int64_t micro_batches);
  // After it: waits, leaves the averaged gradients in .grad. The flags ride in the last bucket; what comes
  // back is true where any rank's was.
  StepFlags finish(StepFlags mine);
  double norm() const;          // Euclidean norm of the whole averaged gradient; after finish
  double wait_seconds() const;  // spent waiting in finish since construction
  std::int64_t buckets() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::trainer
