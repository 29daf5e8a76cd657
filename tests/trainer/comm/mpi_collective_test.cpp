#include "trainer/comm/mpi_collective.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

namespace bitlaw::trainer {

TEST(MpiCollective, SharesOfProcessorsAreCounted) {
  const auto collective = make_mpi_collective();
  const int sharers = mpi_ranks_on_my_processors();
  EXPECT_GE(sharers, 1);
  EXPECT_LE(sharers, collective->size());
}

TEST(MpiCollective, RepeatsItsBits) {
  const auto c = make_mpi_collective();
  at::Tensor first;
  for (int run = 0; run < 20; ++run) {
    at::Tensor x = at::sin(at::arange(50001, at::kFloat) * (1.0 + c->rank())) * 1000.0;
    c->all_reduce(x, ReduceOp::sum).wait();
    if (!first.defined()) {
      first = x;
    }
    EXPECT_TRUE(at::equal(x, first));
  }
}

}  // namespace bitlaw::trainer
