#include "trainer/checkpoint/background_task.h"

#include <utility>

namespace bitlaw::trainer {

BackgroundTask::BackgroundTask() : thread_([this] { work(); }) {}

BackgroundTask::~BackgroundTask() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundTask::start(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    job_ = std::move(job);
    error_ = nullptr;
  }
  changed_.notify_all();
}

bool BackgroundTask::done() const {
  const std::lock_guard lock(mutex_);
  return !job_;
}

bool BackgroundTask::wait_for(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return !job_; });
}

std::exception_ptr BackgroundTask::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void BackgroundTask::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return job_ || leaving_; });
    if (!job_) {
      return;
    }
    lock.unlock();
    std::exception_ptr error;
    try {
      job_();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = error;
    job_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace bitlaw::trainer
