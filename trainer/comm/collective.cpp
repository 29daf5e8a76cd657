#include "trainer/comm/collective.h"

#include <exception>
#include <utility>

namespace bitlaw::trainer {

namespace {

// A destructor cannot report a failure; the Collective stays failed, so the next call of the rank does. While
// an exception leaves the rank nobody waits: the peers would not come, and the operation keeps its own
// memory.
void settle(std::unique_ptr<Work::Handle>& handle) noexcept {
  if (handle && std::uncaught_exceptions() == 0) {
    try {
      handle->wait();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    }
  }
  handle.reset();
}

}  // namespace

Work& Work::operator=(Work&& other) noexcept {
  if (this != &other) {
    settle(handle_);
    handle_ = std::move(other.handle_);
  }
  return *this;
}

Work::~Work() {
  settle(handle_);
}

void Work::wait() {
  if (handle_) {
    handle_->wait();
    handle_.reset();
  }
}

bool Work::test() {
  if (handle_ && handle_->test()) {
    handle_.reset();
  }
  return !handle_;
}

}  // namespace bitlaw::trainer
