// main() of every test program that runs under mpirun.
//
// A group with fewer ranks than the test was registered for fails instead of passing on less than it
// promises.
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int world = 0;
  int rank = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &world);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const char* wanted = std::getenv("BITLAW_TEST_NP");
  if (provided < MPI_THREAD_MULTIPLE || (wanted != nullptr && std::atoi(wanted) != world)) {
    std::fprintf(stderr, "rank %d: %d ranks found, %s wanted; thread level %d\n", rank, world,
                 wanted == nullptr ? "any" : wanted, provided);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  testing::InitGoogleTest(&argc, argv);
  int failed = RUN_ALL_TESTS();
  int any_failed = 0;
  MPI_Allreduce(&failed, &any_failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return any_failed;
}
