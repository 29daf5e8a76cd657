#include "tests/support/group_runner.h"

#include <gmock/gmock.h>

#include <cstring>
#include <thread>
#include <vector>

namespace bitlaw::trainer {

namespace {

using testing::HasSubstr;

// What rank r contributes: values whose float32 sum depends on the order of summation.
at::Tensor contribution(int rank, std::int64_t count, at::ScalarType dtype) {
  at::Tensor i = at::arange(count, at::kDouble);
  at::Tensor x = at::remainder(i * 37.0 + rank * 101.0, 97.0);
  if (at::isFloatingType(dtype)) {
    x = (x - 48.0) * at::pow(10.0, at::remainder(i + 3.0 * rank, 7.0)) / 3.0;
  } else if (dtype == at::kByte) {
    x = at::remainder(x, 50.0);
  }
  return x.to(dtype);
}

at::Tensor combined(const Collective& c, std::int64_t count, at::ScalarType dtype, ReduceOp op) {
  at::Tensor expected = contribution(0, count, dtype);
  for (int r = 1; r < c.size(); ++r) {
    const at::Tensor next = contribution(r, count, dtype);
    expected = op == ReduceOp::sum       ? (expected + next).to(dtype)
               : op == ReduceOp::minimum ? at::minimum(expected, next)
                                         : at::maximum(expected, next);
  }
  return expected;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         (a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0);
}

template <class Function>
std::string comm_error(Function&& function) {
  try {
    function();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
}

template <class Function>
std::string invalid_argument(Function&& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no invalid_argument";
}

}  // namespace

TEST_P(CollectiveContract, AllReduceCombinesInTheOrderOfRanks) {
  on_all_ranks([](Collective& c) {
    for (const auto dtype : {at::kFloat, at::kDouble, at::kLong, at::kByte}) {
      for (const auto op : {ReduceOp::sum, ReduceOp::minimum, ReduceOp::maximum}) {
        for (const std::int64_t count : {0, 1, 3, 7, 1000, 100001}) {
          at::Tensor x = contribution(c.rank(), count, dtype);
          c.all_reduce(x, op).wait();
          EXPECT_TRUE(same_bits(x, combined(c, count, dtype, op))) << c10::toString(dtype) << ' ' << count;
        }
      }
    }
  });
}

TEST_P(CollectiveContract, ReduceScatterGivesEachRankItsSlice) {
  on_all_ranks([](Collective& c) {
    for (const std::int64_t n : {1, 5, 4099}) {
      at::Tensor slice = at::zeros({n});
      const at::Tensor whole = contribution(c.rank(), n * c.size(), at::kFloat);
      const at::Tensor before = whole.clone();
      c.reduce_scatter(slice, whole, ReduceOp::sum).wait();
      const at::Tensor sum = combined(c, n * c.size(), at::kFloat, ReduceOp::sum);
      EXPECT_TRUE(same_bits(slice, sum.slice(0, c.rank() * n, (c.rank() + 1) * n).contiguous()));
      EXPECT_TRUE(same_bits(whole, before));
    }
  });
}

TEST_P(CollectiveContract, AllGatherOrdersByRank) {
  on_all_ranks([](Collective& c) {
    for (const std::int64_t n : {1, 6, 5000}) {
      std::vector<at::Tensor> parts;
      for (int r = 0; r < c.size(); ++r) {
        parts.push_back(contribution(r, n, at::kLong));
      }
      at::Tensor all = at::zeros({n * c.size()}, at::kLong);
      c.all_gather(all, contribution(c.rank(), n, at::kLong)).wait();
      EXPECT_TRUE(same_bits(all, at::cat(parts)));
    }
  });
}

TEST_P(CollectiveContract, BroadcastFromEveryRoot) {
  on_all_ranks([](Collective& c) {
    for (int root = 0; root < c.size(); ++root) {
      for (const std::int64_t n : {1, 3, 70001}) {
        at::Tensor x = contribution(c.rank(), n, at::kDouble);
        c.broadcast(x, root).wait();
        EXPECT_TRUE(same_bits(x, contribution(root, n, at::kDouble)));
      }
    }
  });
}

TEST_P(CollectiveContract, OperationsOverlapAndMayBeWaitedForInAnyOrder) {
  on_all_ranks([](Collective& c) {
    constexpr std::int64_t kOperations = 6;
    std::vector<at::Tensor> tensors;
    std::vector<Work> works;
    for (std::int64_t i = 0; i < kOperations; ++i) {
      tensors.push_back(contribution(c.rank(), 300000 / (i + 1), at::kFloat));
      works.push_back(c.all_reduce(tensors.back(), ReduceOp::sum));
    }
    c.barrier();
    while (!works[3].test()) {
      std::this_thread::yield();
    }
    for (std::int64_t i = kOperations - 1; i >= 0; --i) {
      const auto at = static_cast<std::size_t>(i);
      works[at].wait();
      EXPECT_TRUE(works[at].test());
      EXPECT_TRUE(same_bits(tensors[at], combined(c, 300000 / (i + 1), at::kFloat, ReduceOp::sum)));
    }
  });
}

TEST_P(CollectiveContract, AWorkThatIsDroppedOrReplacedWaits) {
  on_all_ranks([](Collective& c) {
    at::Tensor x = contribution(c.rank(), 100000, at::kFloat);
    at::Tensor y = contribution(c.rank(), 10, at::kFloat);
    {
      Work work = c.all_reduce(x, ReduceOp::sum);
      work = c.all_reduce(y, ReduceOp::sum);
      EXPECT_TRUE(same_bits(x, combined(c, 100000, at::kFloat, ReduceOp::sum)));
    }
    EXPECT_TRUE(same_bits(y, combined(c, 10, at::kFloat, ReduceOp::sum)));
  });
}

TEST_P(CollectiveContract, RanksAreNumbered) {
  on_all_ranks([](Collective& c) {
    at::Tensor seen = at::zeros({c.size()}, at::kLong);
    seen[c.rank()] = 1 + c.local_rank();
    c.all_reduce(seen, ReduceOp::sum).wait();
    EXPECT_TRUE(same_bits(seen, at::arange(1, c.size() + 1, at::kLong)));  // all ranks on this host
  });
}

TEST_P(CollectiveContract, UnfitTensorsAreRefusedBeforeAnythingIsSent) {
  on_all_ranks([](Collective& c) {
    const auto sum = ReduceOp::sum;
    EXPECT_EQ(invalid_argument([&] { c.all_reduce(at::zeros({4}, at::kInt), sum); }),
              "all_reduce: no tensors of type Int (float32, float64, int64 or uint8)");
    EXPECT_EQ(invalid_argument([&] {
                c.all_reduce(at::zeros({4, 4}).t(), sum);
              }),
              "all_reduce: the tensor is not contiguous");
    EXPECT_EQ(invalid_argument([&] { c.all_reduce(at::Tensor(), sum); }),
              "all_reduce: the tensor is undefined");
    EXPECT_EQ(invalid_argument([&] { c.all_gather(at::zeros({3 * c.size() + 1}), at::zeros({3})); }),
              "all_gather: " + std::to_string(3 * c.size() + 1) + " elements are not " +
                  std::to_string(c.size()) + " times 3");
    EXPECT_EQ(
        invalid_argument([&] { c.reduce_scatter(at::zeros({1}), at::zeros({c.size()}, at::kDouble), sum); }),
        "reduce_scatter: input and output differ in type");
    EXPECT_EQ(invalid_argument([&] { c.broadcast(at::zeros({1}), c.size()); }),
              "broadcast: there is no rank " + std::to_string(c.size()));
    at::Tensor x = at::ones({3});
    c.all_reduce(x, sum).wait();  // nothing was sent, so the group still works
    EXPECT_EQ(x[0].item<float>(), static_cast<float>(c.size()));
  });
}

TEST_P(CollectiveContract, RanksThatDisagreeAreToldWhatEachCalled) {
  on_all_ranks([](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    const std::int64_t count = c.rank() == 0 ? 5 : 6;
    const std::string message = comm_error([&] { c.all_reduce(at::zeros({count}), ReduceOp::sum).wait(); });
    EXPECT_THAT(message, HasSubstr("all_reduce(sum) of 5 Float"));
    EXPECT_THAT(message, HasSubstr("all_reduce(sum) of 6 Float"));
    EXPECT_THAT(comm_error([&] { c.barrier(); }), HasSubstr("barrier after a failure: rank "));
  });
}

TEST_P(CollectiveContract, RanksThatCallDifferentOperationsAreTold) {
  on_all_ranks([](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    const std::string message = comm_error([&] {
      if (c.rank() == 0) {
        c.broadcast(at::zeros({8}), 0).wait();
      } else {
        c.all_reduce(at::zeros({8}), ReduceOp::maximum).wait();
      }
    });
    EXPECT_THAT(message, HasSubstr("broadcast from rank 0 of 8 Float"));
    EXPECT_THAT(message, HasSubstr("all_reduce(maximum) of 8 Float"));
  });
}

TEST_P(CollectiveContract, ALostPeerIsAnErrorAfterTheDeadline) {
  GetParam().run(std::chrono::milliseconds(300), [](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    if (c.rank() == c.size() - 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(900));  // stopped, as far as the others can tell
      EXPECT_NE(comm_error([&] { c.all_reduce(at::zeros({100000}), ReduceOp::sum).wait(); }), "no CommError");
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    const std::string message = comm_error([&] { c.all_reduce(at::zeros({100000}), ReduceOp::sum).wait(); });
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
    EXPECT_THAT(message, HasSubstr("all_reduce(sum) of 100000 Float"));
    EXPECT_THAT(message, HasSubstr("rank "));
    EXPECT_LT(waited.count(), 0.8);
    EXPECT_THAT(comm_error([&] { c.broadcast(at::zeros({1}), 0); }), HasSubstr("after a failure"));
  });
}

}  // namespace bitlaw::trainer
