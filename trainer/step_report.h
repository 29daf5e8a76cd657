// Collects what each step has to report and carries it over the ranks now and then, in one small all-reduce.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/comm/collective.h"
#include "trainer/step_log.h"

namespace bitlaw::trainer {

// One step as a rank saw it.
struct StepRecord {
  std::int64_t step = 0;  // after the update
  std::int64_t samples_seen = 0;
  std::int64_t tokens = 0;        // of the global batch
  Figures of_rank;                // averaged over ranks: loss, its terms
  Figures of_all;                 // equal on all ranks: lr, grad_norm
  double seconds = 0.0;           // of the step
  double data_wait = 0.0;         // seconds of these, waiting for the loader
  double comm_wait = 0.0;         // seconds of these, waiting for other ranks
  double checkpoint_pause = 0.0;  // seconds before the step, copying a checkpoint
};

class StepReport {
 public:
  explicit StepReport(Collective& collective) : collective_(collective) {}
  void add(StepRecord record);
  // The lines of all steps since the last call, on every rank; all call it at the same step.
  std::vector<StepLine> collect();

 private:
  Collective& collective_;
  std::vector<StepRecord> records_;
  std::vector<double> wall_times_;
};

}  // namespace bitlaw::trainer
