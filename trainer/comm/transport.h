// What a back end implements: starting operations whose arguments are checked, and moving them forward
// without blocking. CheckedCollective makes a Collective of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

enum class OperationKind { all_reduce, reduce_scatter, all_gather, broadcast, barrier };

// One call of one rank. `output` is the tensor of all_reduce and broadcast, undefined for a barrier.
struct Call {
  OperationKind kind = OperationKind::barrier;
  ReduceOp op = ReduceOp::sum;
  int root = 0;
  at::Tensor output = {};
  at::Tensor input = {};      // reduce_scatter, all_gather
  std::int64_t sequence = 0;  // number of the call in this group

  std::int64_t count() const;  // elements that decide whether two ranks agree; 0 for a barrier
  at::ScalarType dtype() const;
};

// What must be the same on all ranks, in a form that travels.
struct Signature {
  std::int64_t sequence = 0;
  std::int64_t kind = 0;
  std::int64_t op = 0;
  std::int64_t root = 0;
  std::int64_t dtype = 0;
  std::int64_t count = 0;

  bool operator==(const Signature&) const = default;
  std::string to_string() const;  // "all_reduce(sum) of 128 float"
};
Signature signature_of(const Call& call);
std::string mismatch_message(int rank, const Signature& mine, int peer, const Signature& theirs);

class Operation {
 public:
  virtual ~Operation() = default;
  virtual bool advance() = 0;  // never blocks; true when done; CommError
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;
  // Operations may overlap; they start in the same order on all ranks. The tensors are kept by the operation.
  virtual std::unique_ptr<Operation> start(const Call& call) = 0;
  // An operation of this rank failed: nothing more will be started, tell whom it concerns.
  virtual void fail(const std::string& message) = 0;
};

// into[i] = a[i] op b[i]; any of them may be the same memory.
void combine(void* into, const void* a, const void* b, std::int64_t count, at::ScalarType dtype, ReduceOp op);

}  // namespace bitlaw::trainer
