#include "trainer/comm/checked_collective.h"

#include <sched.h>

#include <thread>
#include <utility>

namespace bitlaw::trainer {

struct CheckedCollective::Shared {
  std::unique_ptr<Transport> transport;
  std::chrono::milliseconds deadline;
  std::string failure;  // empty: healthy
  std::int64_t calls = 0;

  [[noreturn]] void fail(const std::string& what) {
    failure = "rank " + std::to_string(transport->rank()) + " of " + std::to_string(transport->size()) +
              ": " + what;
    transport->fail(failure);
    throw CommError(failure);
  }
  void require_healthy(const std::string& operation) const {
    if (!failure.empty()) {
      throw CommError(operation + " after a failure: " + failure);
    }
  }
};

namespace {

// Between two looks at an operation: first the core is offered to whoever wants it, which costs nothing when
// nobody does; a longer wait sleeps, so that ranks that share cores do not take them from each other.
class Backoff {
 public:
  void pause() {
    constexpr int kYields = 4000;  // about 2 ms on an idle core
    if (looks_ < kYields) {
      ++looks_;
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

 private:
  int looks_ = 0;
};

class CheckedHandle : public Work::Handle {
 public:
  CheckedHandle(std::shared_ptr<CheckedCollective::Shared> shared, std::unique_ptr<Operation> operation,
                std::string name)
      : shared_(std::move(shared)), operation_(std::move(operation)), name_(std::move(name)) {}

  bool test() override {
    shared_->require_healthy(name_);
    try {
      return operation_->advance();
    } catch (const CommError& error) {
      shared_->fail(name_ + ": " + error.what());
    }
  }

  void wait() override {
    const auto start = std::chrono::steady_clock::now();
    Backoff backoff;
    while (!test()) {
      if (std::chrono::steady_clock::now() - start > shared_->deadline) {
        shared_->fail(name_ + " was not done after " +
                      std::to_string(static_cast<double>(shared_->deadline.count()) / 1000.0) +
                      " s [a peer is lost or stuck]; resume from the latest checkpoint");
      }
      backoff.pause();
    }
  }

 private:
  std::shared_ptr<CheckedCollective::Shared> shared_;
  std::unique_ptr<Operation> operation_;
  std::string name_;
};

void require(bool holds, const std::string& operation, const std::string& what) {
  if (!holds) {
    throw std::invalid_argument(operation + ": " + what);
  }
}

void check_tensor(const at::Tensor& tensor, const std::string& operation) {
  require(tensor.defined(), operation, "the tensor is undefined");
  require(tensor.is_cpu(), operation, "the tensor is on " + tensor.device().str() + ", not on the CPU");
  require(tensor.is_contiguous(), operation, "the tensor is not contiguous");
  const auto type = tensor.scalar_type();
  require(type == at::kFloat || type == at::kDouble || type == at::kLong || type == at::kByte, operation,
          std::string("no tensors of type ") + c10::toString(type) + " (float32, float64, int64 or uint8)");
}

void check_pair(const at::Tensor& large, const at::Tensor& small, int size, const std::string& operation) {
  check_tensor(large, operation);
  check_tensor(small, operation);
  require(large.scalar_type() == small.scalar_type(), operation, "input and output differ in type");
  require(large.numel() == small.numel() * size, operation,
          std::to_string(large.numel()) + " elements are not " + std::to_string(size) + " times " +
              std::to_string(small.numel()));
}

}  // namespace

CheckedCollective::CheckedCollective(std::unique_ptr<Transport> transport, std::chrono::milliseconds deadline)
    : shared_(std::make_shared<Shared>()) {
  shared_->transport = std::move(transport);
  shared_->deadline = deadline;
}

CheckedCollective::~CheckedCollective() = default;

int CheckedCollective::rank() const {
  return shared_->transport->rank();
}
int CheckedCollective::size() const {
  return shared_->transport->size();
}
int CheckedCollective::local_rank() const {
  return shared_->transport->local_rank();
}

Work CheckedCollective::start(Call call) {
  const std::string name = signature_of(call).to_string();
  shared_->require_healthy(name);
  call.sequence = shared_->calls++;
  try {
    return Work(std::make_unique<CheckedHandle>(shared_, shared_->transport->start(call), name));
  } catch (const CommError& error) {
    shared_->fail(name + ": " + error.what());
  }
}

Work CheckedCollective::all_reduce(at::Tensor tensor, ReduceOp op) {
  check_tensor(tensor, "all_reduce");
  return start({.kind = OperationKind::all_reduce, .op = op, .output = std::move(tensor)});
}

Work CheckedCollective::reduce_scatter(at::Tensor output, const at::Tensor& input, ReduceOp op) {
  check_pair(input, output, size(), "reduce_scatter");
  return start(
      {.kind = OperationKind::reduce_scatter, .op = op, .output = std::move(output), .input = input});
}

Work CheckedCollective::all_gather(at::Tensor output, const at::Tensor& input) {
  check_pair(output, input, size(), "all_gather");
  return start({.kind = OperationKind::all_gather, .output = std::move(output), .input = input});
}

Work CheckedCollective::broadcast(at::Tensor tensor, int root) {
  check_tensor(tensor, "broadcast");
  require(root >= 0 && root < size(), "broadcast", "there is no rank " + std::to_string(root));
  return start({.kind = OperationKind::broadcast, .root = root, .output = std::move(tensor)});
}

void CheckedCollective::barrier() {
  start({.kind = OperationKind::barrier}).wait();
}

}  // namespace bitlaw::trainer
