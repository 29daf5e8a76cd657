// Makes numbered items ahead of time on worker threads and hands them out in order of their numbers.
//
// Torch-free and without knowledge of samples, so that sanitizers can look at the threads alone.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace bitlaw::data {

// take(t), take(t + 1), ... find their items made already; any other number empties the queue and starts
// there. Nothing is made before the first take. At most `depth` items wait or are being made beside those
// that a seek has made worthless. `make` is called by several threads at once. One thread calls take.
template <class Item>
class Prefetcher {
 public:
  using Make = std::function<Item(std::int64_t number)>;

  // workers >= 1, depth >= 1.
  Prefetcher(Make make, int workers, std::int64_t depth) : make_(std::move(make)), depth_(depth) {
    for (int worker = 0; worker < workers; ++worker) {
      threads_.emplace_back([this] { work(); });
    }
  }

  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Waits for the item. An exception that make threw for this number is thrown here; asking again tries
  // again.
  Item take(std::int64_t number) {
    std::map<std::int64_t, Outcome> worthless;  // freed after the lock
    std::unique_lock lock(mutex_);
    if (!started_ || number != next_to_take_) {
      worthless.swap(ready_);
      ++generation_;
      started_ = true;
      next_to_take_ = next_to_make_ = number;
      work_changed_.notify_all();
    }
    item_ready_.wait(lock, [&] { return ready_.count(number) != 0; });
    auto node = ready_.extract(number);
    ++next_to_take_;
    lock.unlock();
    work_changed_.notify_one();
    if (node.mapped().error) std::rethrow_exception(node.mapped().error);
    return std::move(node.mapped().item);
  }

 private:
  struct Outcome {
    Item item{};
    std::exception_ptr error;
  };

  bool has_work() const { return started_ && next_to_make_ < next_to_take_ + depth_; }

  Outcome make_outcome(std::int64_t number) {
    Outcome outcome;
    try {
      outcome.item = make_(number);
    } catch (...) {
      outcome.error = std::current_exception();
    }
    return outcome;
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      work_changed_.wait(lock, [&] { return stopping_ || has_work(); });
      if (stopping_) return;
      const std::int64_t number = next_to_make_++;
      const std::uint64_t generation = generation_;
      lock.unlock();
      Outcome outcome = make_outcome(number);
      lock.lock();
      if (generation != generation_) continue;  // a seek came between
      ready_.emplace(number, std::move(outcome));
      item_ready_.notify_one();
    }
  }

  const Make make_;
  const std::int64_t depth_;
  std::mutex mutex_;
  std::condition_variable work_changed_;
  std::condition_variable item_ready_;
  std::map<std::int64_t, Outcome> ready_;
  std::int64_t next_to_take_ = 0;
  std::int64_t next_to_make_ = 0;
  std::uint64_t generation_ = 0;
  bool started_ = false;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace bitlaw::data
