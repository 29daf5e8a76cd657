// The contract of Collective as one suite; each back end's test program instantiates it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
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

class CollectiveContract : public testing::TestWithParam<GroupRunner> {
 protected:
  void on_all_ranks(const std::function<void(Collective&)>& body) {
    GetParam().run(std::chrono::seconds(60), body);
  }
};

}  // namespace bitlaw::trainer
