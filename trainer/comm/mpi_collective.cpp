#include "trainer/comm/mpi_collective.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "trainer/comm/checked_collective.h"
#include "trainer/comm/mpi_exchange.h"

namespace bitlaw::trainer {

namespace {

// Walks through the phases of an exchange. Given up before its end, it leaks the exchange on purpose: MPI may
// still write into that memory.
class MpiOperation : public Operation {
 public:
  explicit MpiOperation(std::unique_ptr<Exchange> exchange) : x_(std::move(exchange)) {}
  void begin() {
    post();
    advance();
  }
  ~MpiOperation() override {
    if (phase_ < x_->phases.size()) {
      static_cast<void>(x_.release());  // NOLINT(bugprone-unused-return-value)
    }
  }

  bool advance() override {
    while (phase_ < x_->phases.size()) {
      int done = 0;
      statuses_.resize(x_->requests.size());
      check_mpi(
          MPI_Testall(static_cast<int>(x_->requests.size()), x_->requests.data(), &done, statuses_.data()),
          "an exchange of messages");
      if (done == 0) {
        return false;
      }
      require_sizes();
      if (x_->phases[phase_].then != nullptr) {
        x_->phases[phase_].then(*x_);
      }
      if (++phase_ < x_->phases.size()) {
        post();
      }
    }
    return true;
  }

 private:
  static constexpr std::size_t kLargest = std::size_t{1} << 30;  // bytes of one message: MPI counts in int

  template <class Post>
  void in_pieces(const Message& message, Post post_piece) {
    for (std::size_t at = 0; at < message.size; at += kLargest) {
      x_->requests.emplace_back();
      post_piece(message.bytes + at, static_cast<int>(std::min(kLargest, message.size - at)),
                 &x_->requests.back());
    }
  }

  void post() {
    const Phase& phase = x_->phases[phase_];
    constexpr std::int64_t kTagsInUse = 4096;  // operations that may overlap
    constexpr int kPhases = 4;
    const int tag = static_cast<int>(x_->mine.sequence % kTagsInUse) * kPhases + static_cast<int>(phase_);
    x_->requests.clear();
    x_->wanted.clear();
    for (const Message& message : phase.receives) {
      in_pieces(message, [&](std::byte* bytes, int count, MPI_Request* request) {
        x_->wanted.push_back(static_cast<std::size_t>(count));
        check_mpi(MPI_Irecv(bytes, count, MPI_BYTE, message.peer, tag, x_->comm->get(), request),
                  "MPI_Irecv");
      });
    }
    for (const Message& message : phase.sends) {
      in_pieces(message, [&](std::byte* bytes, int count, MPI_Request* request) {
        check_mpi(MPI_Isend(bytes, count, MPI_BYTE, message.peer, tag, x_->comm->get(), request),
                  "MPI_Isend");
      });
    }
  }

  void require_sizes() const {
    for (std::size_t i = 0; i < x_->wanted.size(); ++i) {
      int count = 0;
      MPI_Get_count(&statuses_[i], MPI_BYTE, &count);
      if (static_cast<std::size_t>(count) != x_->wanted[i]) {
        throw CommError("a message of " + std::to_string(count) + " bytes came instead of " +
                        std::to_string(x_->wanted[i]));
      }
    }
  }

  std::unique_ptr<Exchange> x_;
  std::vector<MPI_Status> statuses_;
  std::size_t phase_ = 0;
};

class MpiTransport : public Transport {
 public:
  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  int local_rank() const override { return comm_.local_rank(); }
  std::unique_ptr<Operation> start(const Call& call) override {
    auto operation = std::make_unique<MpiOperation>(plan_exchange(comm_, call));
    operation->begin();
    return operation;
  }
  void fail(const std::string& /*message*/) override { comm_.mark_failed(); }

 private:
  Communicator comm_;
};

}  // namespace

MpiEnvironment::MpiEnvironment(int* argc, char*** argv) {
  int provided = 0;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_MULTIPLE) {
    throw data::InputError(
        "MPI: the library gives thread level " + std::to_string(provided) + " instead of MPI_THREAD_MULTIPLE",
        "loader and checkpoint threads run beside communication",
        "use an MPI built with thread support: " + mpi_library_version());
  }
}

MpiEnvironment::~MpiEnvironment() {
  if (std::uncaught_exceptions() == 0) {
    MPI_Finalize();
  }
}

std::unique_ptr<Collective> make_mpi_collective(std::chrono::milliseconds deadline) {
  return std::make_unique<CheckedCollective>(std::make_unique<MpiTransport>(), deadline);
}

int mpi_ranks_on_my_processors() {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  sched_getaffinity(0, sizeof(mine), &mine);
  MPI_Comm host = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host),
            "MPI_Comm_split_type");
  int ranks = 1;
  MPI_Comm_size(host, &ranks);
  std::vector<cpu_set_t> all(static_cast<std::size_t>(ranks));
  check_mpi(MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, all.data(), sizeof(mine), MPI_BYTE, host),
            "MPI_Allgather");
  MPI_Comm_free(&host);
  return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const cpu_set_t& other) {
    cpu_set_t both;
    CPU_AND(&both, &mine, &other);
    return CPU_COUNT(&both) > 0;
  }));
}

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  return std::string(text, static_cast<std::size_t>(length));
}

}  // namespace bitlaw::trainer
