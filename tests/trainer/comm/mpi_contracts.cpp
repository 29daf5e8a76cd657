// Every contract of a group of ranks, with MPI processes as ranks.
#include "tests/support/group_runner.h"
#include "trainer/comm/mpi_collective.h"

namespace bitlaw::trainer {

namespace {

const auto kGroups = testing::Values(GroupRunner{"world", [](auto deadline, const auto& body) {
                                                   const auto collective = make_mpi_collective(deadline);
                                                   body(*collective);
                                                 }});
const auto kName = [](const auto& group) { return group.param.name; };

}  // namespace

INSTANTIATE_TEST_SUITE_P(Mpi, CollectiveContract, kGroups, kName);
INSTANTIATE_TEST_SUITE_P(Mpi, GradReducerContract, kGroups, kName);
INSTANTIATE_TEST_SUITE_P(Mpi, ReductionContract, kGroups, kName);
INSTANTIATE_TEST_SUITE_P(Mpi, TrainerContract, kGroups, kName);

}  // namespace bitlaw::trainer
