// One collective operation as phases of messages between ranks: what is sent, what is received, what is done
// when all has come. The order in which contributions are combined is fixed here.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "trainer/comm/transport.h"

namespace bitlaw::trainer {

void check_mpi(int code, const char* what);  // CommError with MPI's own text

// A duplicate of MPI_COMM_WORLD; errors come back as codes. Not freed after a failure: freeing talks to the
// peers.
class Communicator {
 public:
  Communicator();
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  MPI_Comm get() const { return comm_; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }
  void mark_failed() { failed_ = true; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  bool failed_ = false;
};

struct Exchange;

struct Message {
  int peer = 0;
  std::byte* bytes = nullptr;  // sends only read it
  std::size_t size = 0;
};

// Messages that are exchanged together, and what is done when all have come.
struct Phase {
  std::vector<Message> sends;
  std::vector<Message> receives;
  void (*then)(Exchange&) = nullptr;
};

// The memory that messages point into, kept until all are through.
struct Exchange {
  const Communicator* comm = nullptr;
  Call call;
  Signature mine;
  std::vector<Signature> theirs;  // by rank
  std::vector<std::byte> scratch;
  std::vector<Phase> phases;
  std::vector<MPI_Request> requests;
  std::vector<std::size_t> wanted;  // bytes of each request that receives; requests begin with those

  std::byte* output() const { return static_cast<std::byte*>(call.output.data_ptr()); }
  std::byte* input() const { return static_cast<std::byte*>(call.input.data_ptr()); }
  std::size_t element() const { return call.output.element_size(); }
  // First element of rank r's slice of `output`, which need not divide evenly.
  std::int64_t slice(int r) const { return call.output.numel() * r / comm->size(); }
};

// The phases of this rank's part in `call`; the first one exchanges and compares signatures.
std::unique_ptr<Exchange> plan_exchange(const Communicator& comm, const Call& call);

}  // namespace bitlaw::trainer
