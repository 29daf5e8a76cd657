#include "trainer/comm/thread_group.h"

#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "trainer/comm/checked_collective.h"
#include "trainer/comm/transport.h"

namespace bitlaw::trainer {

namespace {

// The calls of all ranks with one sequence number. It shares the tensors, so that a rank that has given up
// does not take them away from the one that finishes the operation.
struct Meeting {
  std::vector<Call> calls;  // by rank
  std::vector<bool> here;   // whose call has come
  int arrived = 0;
  bool done = false;
};

// What the threads of a group share. The last rank to arrive does the work of all, in rank order.
struct Group {
  explicit Group(int ranks) : size(ranks) {}
  const int size;
  std::mutex mutex;
  std::map<std::int64_t, std::shared_ptr<Meeting>> meetings;
  std::string failure;

  void fail(const std::string& message) {
    const std::lock_guard lock(mutex);
    if (failure.empty()) {
      failure = message;
    }
  }
};

at::Tensor reduced(const std::vector<Call>& calls, bool of_inputs) {
  const auto tensor = [&](const Call& call) { return of_inputs ? call.input : call.output; };
  at::Tensor sum = tensor(calls[0]).detach().clone();
  for (std::size_t r = 1; r < calls.size(); ++r) {
    combine(sum.data_ptr(), sum.data_ptr(), tensor(calls[r]).data_ptr(), sum.numel(), sum.scalar_type(),
            calls[0].op);
  }
  return sum;
}

void copy_bytes(const at::Tensor& into, const at::Tensor& from, std::size_t into_at = 0,
                std::size_t from_at = 0) {
  const std::size_t bytes = std::min(into.nbytes() - into_at, from.nbytes() - from_at);
  if (bytes > 0) {
    std::memmove(static_cast<std::byte*>(into.data_ptr()) + into_at,
                 static_cast<const std::byte*>(from.data_ptr()) + from_at, bytes);
  }
}

void carry_out(const std::vector<Call>& calls) {
  switch (calls[0].kind) {
    case OperationKind::all_reduce: {
      if (calls.size() == 1) {
        break;
      }
      const at::Tensor sum = reduced(calls, false);
      for (const Call& call : calls) {
        copy_bytes(call.output, sum);
      }
      break;
    }
    case OperationKind::reduce_scatter: {
      const at::Tensor sum = reduced(calls, true);
      for (std::size_t r = 0; r < calls.size(); ++r) {
        copy_bytes(calls[r].output, sum, 0, r * calls[r].output.nbytes());
      }
      break;
    }
    case OperationKind::all_gather: {
      const at::Tensor all = at::empty_like(calls[0].output);
      for (std::size_t r = 0; r < calls.size(); ++r) {
        copy_bytes(all, calls[r].input, r * calls[r].input.nbytes());
      }
      for (const Call& call : calls) {
        copy_bytes(call.output, all);
      }
      break;
    }
    case OperationKind::broadcast:
      for (const Call& call : calls) {
        copy_bytes(call.output, calls[static_cast<std::size_t>(call.root)].output);
      }
      break;
    case OperationKind::barrier:
      break;
  }
}

class ThreadOperation : public Operation {
 public:
  ThreadOperation(std::shared_ptr<Group> group, std::shared_ptr<Meeting> meeting)
      : group_(std::move(group)), meeting_(std::move(meeting)) {}

  bool advance() override {
    const std::lock_guard lock(group_->mutex);
    if (!meeting_->done && !group_->failure.empty()) {
      throw CommError(group_->failure);
    }
    return meeting_->done;
  }

 private:
  std::shared_ptr<Group> group_;
  std::shared_ptr<Meeting> meeting_;
};

class ThreadTransport : public Transport {
 public:
  ThreadTransport(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }
  int local_rank() const override { return rank_; }
  void fail(const std::string& message) override { group_->fail(message); }

  std::unique_ptr<Operation> start(const Call& call) override {
    const std::lock_guard lock(group_->mutex);
    if (!group_->failure.empty()) {
      throw CommError(group_->failure);
    }
    auto& entry = group_->meetings[call.sequence];
    if (!entry) {
      entry = std::make_shared<Meeting>();
      entry->calls.resize(static_cast<std::size_t>(group_->size));
      entry->here.resize(static_cast<std::size_t>(group_->size));
    }
    const std::shared_ptr<Meeting> meeting = entry;
    require_agreement(call, *meeting);
    meeting->calls[static_cast<std::size_t>(rank_)] = call;
    meeting->here[static_cast<std::size_t>(rank_)] = true;
    if (++meeting->arrived == group_->size) {
      carry_out(meeting->calls);
      meeting->calls.clear();
      meeting->done = true;
      group_->meetings.erase(call.sequence);
    }
    return std::make_unique<ThreadOperation>(group_, meeting);
  }

 private:
  void require_agreement(const Call& call, const Meeting& meeting) const {
    const Signature mine = signature_of(call);
    for (int peer = 0; peer < group_->size; ++peer) {
      const auto at = static_cast<std::size_t>(peer);
      if (meeting.here[at] && signature_of(meeting.calls[at]) != mine) {
        throw CommError(mismatch_message(rank_, mine, peer, signature_of(meeting.calls[at])));
      }
    }
  }

  std::shared_ptr<Group> group_;
  int rank_;
};

}  // namespace

std::unique_ptr<Collective> make_serial_collective() {
  return std::make_unique<CheckedCollective>(std::make_unique<ThreadTransport>(std::make_shared<Group>(1), 0),
                                             std::chrono::minutes(5));
}

void run_thread_group(int size, const std::function<void(Collective&)>& body,
                      std::chrono::milliseconds deadline) {
  const auto group = std::make_shared<Group>(size);
  std::exception_ptr first;
  const auto run_rank = [&](int rank) {
    CheckedCollective collective(std::make_unique<ThreadTransport>(group, rank), deadline);
    try {
      body(collective);
    } catch (const std::exception& error) {
      const std::lock_guard lock(group->mutex);
      if (!first) {
        first = std::current_exception();
      }
      if (group->failure.empty()) {
        group->failure = "rank " + std::to_string(rank) + " left with an error: " + error.what();
      }
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back(run_rank, rank);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (first) {
    std::rethrow_exception(first);
  }
}

}  // namespace bitlaw::trainer
