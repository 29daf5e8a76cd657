#include "trainer/comm/bootstrap.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>

#include "data/formats/input_error.h"
#include "trainer/comm/mpi_collective.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer {

namespace {

// Set by mpirun and by srun --mpi for each process that they start as a rank.
constexpr std::array<const char*, 4> kRankVariables = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                                                       "MPI_LOCALNRANKS"};

int processors_of_this_process() {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  return sched_getaffinity(0, sizeof(mine), &mine) == 0 ? std::max(1, CPU_COUNT(&mine)) : 1;
}

}  // namespace

bool launched_with_ranks() {
  return std::any_of(kRankVariables.begin(), kRankVariables.end(),
                     [](const char* name) { return std::getenv(name) != nullptr; });
}

bool wants_no_color() {
  return std::getenv("NO_COLOR") != nullptr;
}

struct Ranks::Impl {
  std::optional<MpiEnvironment> environment;
  std::unique_ptr<Collective> collective;
};

Ranks::Ranks(Backend backend, std::chrono::milliseconds deadline) : impl_(std::make_unique<Impl>()) {
  if (backend == Backend::thread && launched_with_ranks()) {
    throw data::InputError("parallel.backend: thread, but this process was started as one of several ranks",
                           "each would train the whole run by itself in the same folder",
                           "set it to auto or mpi, or start without mpirun");
  }
  const bool uses_mpi = backend == Backend::mpi || (backend == Backend::automatic && launched_with_ranks());
  int sharers = 1;
  if (uses_mpi) {
    impl_->environment.emplace(nullptr, nullptr);
    impl_->collective = make_mpi_collective(deadline);
    sharers = mpi_ranks_on_my_processors();
  } else {
    impl_->collective = make_serial_collective();
  }
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    at::set_num_threads(std::max(1, processors_of_this_process() / sharers));
  }
}

Ranks::~Ranks() = default;

Collective& Ranks::collective() {
  return *impl_->collective;
}

}  // namespace bitlaw::trainer
