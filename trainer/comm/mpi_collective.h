// Ranks as MPI processes, host tensors. MPI_THREAD_MULTIPLE is asked for and what was given is checked.
//
// Sums are our own: slices go to the rank that owns them, which adds them in the order of ranks; then the
// sums go to everybody. The order of summation is therefore a property of this file, not of an MPI library,
// and every exchange is a set of non-blocking messages that a deadline can give up on. Each operation starts
// with an exchange of its signature, so ranks that disagree learn it before any data is sent.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// MPI_Init_thread .. MPI_Finalize as an object; one per process, made by Ranks (bootstrap.h).
class MpiEnvironment {
 public:
  MpiEnvironment(int* argc, char*** argv);  // InputError when the library does not give MPI_THREAD_MULTIPLE
  // MPI_Finalize, unless an exception is on its way out: the other ranks then wait for this one in a
  // collective, and waiting for them here would hide the error until their deadline. mpirun ends them when we
  // leave.
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;
};

// Over a duplicate of MPI_COMM_WORLD, freed with the object.
std::unique_ptr<Collective> make_mpi_collective(std::chrono::milliseconds deadline = std::chrono::minutes(5));
// Ranks of this host whose set of processors overlaps this rank's, itself included. Called by every rank.
int mpi_ranks_on_my_processors();
std::string mpi_library_version();

}  // namespace bitlaw::trainer
