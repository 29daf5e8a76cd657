// Ranks as MPI processes, host tensors. MPI_THREAD_MULTIPLE is asked for and what was given is checked.
#pragma once

#include <chrono>
#include <memory>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// MPI_Init_thread .. MPI_Finalize as an object; one per process, made first in main.
class MpiEnvironment {
 public:
  MpiEnvironment(int* argc, char*** argv);  // InputError when the library does not give MPI_THREAD_MULTIPLE
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;
};

// Over a duplicate of MPI_COMM_WORLD, freed with the object.
std::unique_ptr<Collective> make_mpi_collective(std::chrono::milliseconds deadline = std::chrono::minutes(5));
std::string mpi_library_version();

}  // namespace bitlaw::trainer
