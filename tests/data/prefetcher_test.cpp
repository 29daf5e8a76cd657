#include "data/prefetcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace bitlaw::data {
namespace {

using namespace std::chrono_literals;

// An item that knows its number, made in a time that depends on the number, so that workers overtake each
// other.
std::unique_ptr<std::int64_t> make_slowly(std::int64_t number) {
  std::this_thread::sleep_for(std::chrono::microseconds(number * 7919 % 300));
  return std::make_unique<std::int64_t>(number * number);
}

using Items = Prefetcher<std::unique_ptr<std::int64_t>>;

TEST(Prefetcher, HandsOutInOrderWhateverTheNumberOfWorkers) {
  for (const int workers : {1, 2, 5}) {
    Items items(make_slowly, workers, 4);
    for (std::int64_t i = 10; i < 210; ++i) ASSERT_EQ(*items.take(i), i * i) << workers << " workers";
  }
}

TEST(Prefetcher, SeeksBothWaysAndRepeats) {
  Items items(make_slowly, 3, 5);
  for (const std::int64_t number : {0, 1, 2, 100, 101, 50, 50, 51, 7, 8, 1000000, 0}) {
    ASSERT_EQ(*items.take(number), number * number);
  }
}

TEST(Prefetcher, MakesNothingBeforeTheFirstTakeAndNeverMoreThanDepthAhead) {
  std::atomic<std::int64_t> made = 0;
  Prefetcher<std::int64_t> items([&](std::int64_t number) { return ++made, number; }, 4, 6);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(made, 0);
  items.take(0);
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (made < 7 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(made, 7);  // the one taken and six ahead
}

TEST(Prefetcher, ExceptionsReachTheCallerAndAskingAgainTriesAgain) {
  std::atomic<bool> broken = true;
  Prefetcher<std::int64_t> items(
      [&](std::int64_t number) {
        if (number == 3 && broken) throw std::runtime_error("item 3 is broken");
        return number;
      },
      2, 4);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(items.take(i), i);
  try {
    items.take(3);
    FAIL() << "no exception";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "item 3 is broken");
  }
  EXPECT_EQ(items.take(4), 4);  // the queue goes on after it
  broken = false;
  EXPECT_EQ(items.take(3), 3);
}

TEST(Prefetcher, EndsWhileWorkersAreBusy) {
  for (int round = 0; round < 50; ++round) {
    Items items(make_slowly, 3, 8);
    items.take(round);
  }
}

TEST(Prefetcher, WorkersOverlapWithTheCaller) {
  // 20 items of 10 ms each by 4 workers: far less than 200 ms; one after the other would be more.
  Prefetcher<std::int64_t> items(
      [](std::int64_t number) {
        std::this_thread::sleep_for(10ms);
        return number;
      },
      4, 8);
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < 20; ++i) items.take(i);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 190ms);
}

}  // namespace
}  // namespace bitlaw::data
