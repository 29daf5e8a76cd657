#include "trainer/comm/mpi_exchange.h"

#include <cstring>
#include <exception>
#include <string>
#include <utility>

namespace bitlaw::trainer {

void check_mpi(int code, const char* what) {
  if (code != MPI_SUCCESS) {
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw CommError(std::string(what) + " failed: " + std::string(text, static_cast<std::size_t>(length)));
  }
}

Communicator::Communicator() {
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  MPI_Comm host = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host), "MPI_Comm_split_type");
  MPI_Comm_rank(host, &local_rank_);
  MPI_Comm_free(&host);
}

Communicator::~Communicator() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!failed_ && finalized == 0 && std::uncaught_exceptions() == 0) {
    MPI_Comm_free(&comm_);
  }
}

namespace {

std::size_t bytes_of(std::int64_t count, const Exchange& x) {
  return static_cast<std::size_t>(count) * x.element();
}

void require_agreement(Exchange& x) {
  for (int peer = 0; peer < x.comm->size(); ++peer) {
    const Signature& theirs = x.theirs[static_cast<std::size_t>(peer)];
    if (peer != x.comm->rank() && theirs != x.mine) {
      throw CommError(mismatch_message(x.comm->rank(), x.mine, peer, theirs));
    }
  }
}

void add_signature_phase(Exchange& x) {
  Phase phase;
  for (int peer = 0; peer < x.comm->size(); ++peer) {
    if (peer != x.comm->rank()) {
      phase.sends.push_back({peer, reinterpret_cast<std::byte*>(&x.mine), sizeof(Signature)});
      phase.receives.push_back(
          {peer, reinterpret_cast<std::byte*>(&x.theirs[static_cast<std::size_t>(peer)]), sizeof(Signature)});
    }
  }
  phase.then = require_agreement;
  x.phases.push_back(std::move(phase));
}

// own: this rank's contribution to its slice; into: where the sum goes. Contributions are combined in the
// order of ranks; `scratch` holds those of the peers in that order, and its first slot serves as accumulator.
void combine_in_rank_order(Exchange& x, std::byte* own, std::byte* into, std::int64_t count) {
  const std::size_t slot = bytes_of(count, x);
  std::byte* accumulator = x.scratch.data();
  const std::byte* sum = nullptr;
  std::size_t next_slot = 0;
  for (int r = 0; r < x.comm->size(); ++r) {
    const std::byte* term = r == x.comm->rank() ? own : x.scratch.data() + slot * next_slot++;
    if (sum == nullptr) {
      sum = term;
      continue;
    }
    std::byte* target = r + 1 == x.comm->size() ? into : accumulator;
    combine(target, sum, term, count, x.call.output.scalar_type(), x.call.op);
    sum = target;
  }
  if (x.comm->size() == 1 && own != into) {
    std::memcpy(into, own, slot);
  }
}

void add_reduce_phase(Exchange& x) {
  const int me = x.comm->rank();
  const bool scatters = x.call.kind == OperationKind::reduce_scatter;
  const std::int64_t mine = scatters ? x.call.output.numel() : x.slice(me + 1) - x.slice(me);
  x.scratch.resize(bytes_of(mine, x) * static_cast<std::size_t>(x.comm->size() - 1));
  Phase phase;
  std::byte* slot = x.scratch.data();
  for (int peer = 0; peer < x.comm->size(); ++peer) {
    if (peer == me) {
      continue;
    }
    if (scatters) {
      phase.sends.push_back({peer, x.input() + bytes_of(mine * peer, x), bytes_of(mine, x)});
    } else {
      phase.sends.push_back(
          {peer, x.output() + bytes_of(x.slice(peer), x), bytes_of(x.slice(peer + 1) - x.slice(peer), x)});
    }
    phase.receives.push_back({peer, slot, bytes_of(mine, x)});
    slot += bytes_of(mine, x);
  }
  phase.then = [](Exchange& e) {
    const int rank = e.comm->rank();
    if (e.call.kind == OperationKind::reduce_scatter) {
      const std::int64_t count = e.call.output.numel();
      combine_in_rank_order(e, e.input() + bytes_of(count * rank, e), e.output(), count);
    } else {
      std::byte* own = e.output() + bytes_of(e.slice(rank), e);
      combine_in_rank_order(e, own, own, e.slice(rank + 1) - e.slice(rank));
    }
  };
  x.phases.push_back(std::move(phase));
}

// Everybody's slice of `output` to everybody.
void add_gather_phase(Exchange& x) {
  const int me = x.comm->rank();
  Phase phase;
  for (int peer = 0; peer < x.comm->size(); ++peer) {
    if (peer != me) {
      phase.sends.push_back(
          {peer, x.output() + bytes_of(x.slice(me), x), bytes_of(x.slice(me + 1) - x.slice(me), x)});
      phase.receives.push_back(
          {peer, x.output() + bytes_of(x.slice(peer), x), bytes_of(x.slice(peer + 1) - x.slice(peer), x)});
    }
  }
  x.phases.push_back(std::move(phase));
}

// The root's slices to their owners.
void add_scatter_phase(Exchange& x) {
  const int me = x.comm->rank();
  Phase phase;
  const auto slice_of = [&](int peer, int owner) {
    return Message{peer, x.output() + bytes_of(x.slice(owner), x),
                   bytes_of(x.slice(owner + 1) - x.slice(owner), x)};
  };
  for (int peer = 0; peer < x.comm->size() && me == x.call.root; ++peer) {
    if (peer != me) {
      phase.sends.push_back(slice_of(peer, peer));
    }
  }
  if (me != x.call.root) {
    phase.receives.push_back(slice_of(x.call.root, me));
  }
  x.phases.push_back(std::move(phase));
}

}  // namespace

std::unique_ptr<Exchange> plan_exchange(const Communicator& comm, const Call& call) {
  auto x = std::make_unique<Exchange>();
  x->comm = &comm;
  x->call = call;
  x->mine = signature_of(call);
  x->theirs.resize(static_cast<std::size_t>(comm.size()));
  add_signature_phase(*x);
  switch (call.kind) {
    case OperationKind::all_reduce:
      add_reduce_phase(*x);
      add_gather_phase(*x);
      break;
    case OperationKind::reduce_scatter:
      add_reduce_phase(*x);
      break;
    case OperationKind::all_gather:
      std::memcpy(x->output() + bytes_of(x->slice(comm.rank()), *x), x->input(), call.input.nbytes());
      add_gather_phase(*x);
      break;
    case OperationKind::broadcast:
      add_scatter_phase(*x);
      add_gather_phase(*x);
      break;
    case OperationKind::barrier:
      break;
  }
  return x;
}

}  // namespace bitlaw::trainer
