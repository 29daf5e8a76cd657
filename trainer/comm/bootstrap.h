// Finds out how this process was started and makes the matching Collective. The only place, beside main, that
// looks at the environment.
#pragma once

#include <chrono>
#include <memory>

#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

// True under mpirun or srun --mpi (OMPI_COMM_WORLD_SIZE, PMI_RANK, PMIX_RANK ... are set).
bool launched_with_ranks();

bool wants_no_color();  // NO_COLOR is set

// The ranks of this start. Backend::automatic: MPI when launched_with_ranks(), else a group of one without
// MPI. Owns the MPI environment; made once, in main's thread, destroyed last. Sets the number of LibTorch
// threads to the processors of this process divided by the ranks that share them unless OMP_NUM_THREADS is
// set.
class Ranks {
 public:
  Ranks(Backend backend, std::chrono::milliseconds deadline);
  ~Ranks();
  Collective& collective();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::trainer
