// Contracts that hold for every kind of group of ranks, as parametrised suites: the programs that instantiate
// them say which kind.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <ostream>
#include <string>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// Runs a body on all ranks of a fresh group.
struct GroupRunner {
  std::string name;
  std::function<void(std::chrono::milliseconds deadline, const std::function<void(Collective&)>& body)> run;
};

inline void PrintTo(const GroupRunner& runner, std::ostream* out) {
  *out << runner.name;
}

class GroupTest : public testing::TestWithParam<GroupRunner> {
 protected:
  void on_all_ranks(const std::function<void(Collective&)>& body) {
    GetParam().run(std::chrono::seconds(60), body);
  }
};

class CollectiveContract : public GroupTest {};
class GradReducerContract : public GroupTest {};
class ReductionContract : public GroupTest {};
class TrainerContract : public GroupTest {};

}  // namespace bitlaw::trainer
