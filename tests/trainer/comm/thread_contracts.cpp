// Every contract of a group of ranks, with threads as ranks.
#include "tests/support/group_runner.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer {

namespace {

GroupRunner threads(int size) {
  return {"threads" + std::to_string(size),
          [size](auto deadline, const auto& body) { run_thread_group(size, body, deadline); }};
}

const auto kGroups = testing::Values(threads(1), threads(2), threads(4));
const auto kName = [](const auto& group) { return group.param.name; };

}  // namespace

INSTANTIATE_TEST_SUITE_P(Threads, CollectiveContract, kGroups, kName);
INSTANTIATE_TEST_SUITE_P(Threads, GradReducerContract, kGroups, kName);
INSTANTIATE_TEST_SUITE_P(Threads, ReductionContract, kGroups, kName);
INSTANTIATE_TEST_SUITE_P(Threads, TrainerContract, kGroups, kName);

}  // namespace bitlaw::trainer
