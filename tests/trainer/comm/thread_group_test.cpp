#include "trainer/comm/thread_group.h"

#include <gmock/gmock.h>

#include <atomic>
#include <stdexcept>

namespace bitlaw::trainer {

TEST(ThreadGroup, FirstExceptionIsRethrownAndTheOthersAreTold) {
  std::atomic<int> told = 0;
  const auto run = [&] {
    run_thread_group(3, [&](Collective& c) {
      if (c.rank() == 1) {
        throw std::domain_error("bad sample");
      }
      try {
        c.barrier();
      } catch (const CommError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("rank 1 left with an error: bad sample"));
        ++told;
        throw;
      }
    });
  };
  EXPECT_THROW(run(), std::domain_error);
  EXPECT_EQ(told, 2);
}

TEST(SerialCollective, IsAGroupOfOne) {
  const auto c = make_serial_collective();
  EXPECT_EQ(c->size(), 1);
  EXPECT_EQ(c->rank(), 0);
  at::Tensor x = at::arange(5, at::kFloat);
  c->all_reduce(x, ReduceOp::sum).wait();
  EXPECT_TRUE(at::equal(x, at::arange(5, at::kFloat)));
  at::Tensor gathered = at::zeros({5});
  c->all_gather(gathered, x).wait();
  EXPECT_TRUE(at::equal(gathered, x));
}

}  // namespace bitlaw::trainer
