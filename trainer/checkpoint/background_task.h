// One thread that does one thing at a time, and tells when it is done. Torch-free.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace bitlaw::trainer {

// All members are called by one thread, the owner.
class BackgroundTask {
 public:
  BackgroundTask();
  ~BackgroundTask();  // waits for what is running
  BackgroundTask(const BackgroundTask&) = delete;
  BackgroundTask& operator=(const BackgroundTask&) = delete;

  void start(std::function<void()> job);  // only when done() holds
  bool done() const;
  bool wait_for(std::chrono::milliseconds patience);  // true when done
  std::exception_ptr error() const;                   // what the last job threw; null: nothing

 private:
  void work();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;  // empty: nothing to do
  std::exception_ptr error_;
  bool leaving_ = false;
  std::thread thread_;
};

}  // namespace bitlaw::trainer
