// What ranks say to each other. Back ends: threads in one process, MPI for host tensors, NCCL for device
// tensors.
//
// Every rank calls the same operations in the same order. Counts are derived from the tensors, never passed.
// An operation returns a Work; the tensors it names belong to it until wait() returns. Sums are made in a
// fixed order for a given number of ranks, so a run repeats its bits. One thread calls a Collective at a
// time; Work may be waited for by the same thread only. After a failure (a lost peer, a deadline) the call
// throws CommError, and so does every later one. Ranks that call different operations, or with different
// sizes or types, get a CommError that names both. A tensor that does not fit (type, strides, sizes) is
// std::invalid_argument before anything is sent.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace bitlaw::trainer {

enum class ReduceOp { sum, minimum, maximum };

class CommError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Work {
 public:
  class Handle {
   public:
    virtual ~Handle() = default;
    virtual void wait() = 0;  // blocks, throws CommError
    virtual bool test() = 0;  // drives progress; true when done
  };
  Work() = default;  // already done
  explicit Work(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
  Work(Work&&) noexcept = default;
  Work& operator=(Work&& other) noexcept;  // waits for the operation that it held, as the destructor does
  ~Work();  // waits, so that no tensor is freed under a running operation; a failure is not reported
  void wait();
  bool test();

 private:
  std::unique_ptr<Handle> handle_;
};

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  // among the ranks of this host

  // In place; float32, float64, int64 or uint8; contiguous CPU tensors (device tensors: NCCL).
  virtual Work all_reduce(at::Tensor tensor, ReduceOp op) = 0;
  // input [size * n], output [n]: rank r gets the reduced slice r.
  virtual Work reduce_scatter(at::Tensor output, const at::Tensor& input, ReduceOp op) = 0;
  // input [n] of each rank -> output [size * n], by rank.
  virtual Work all_gather(at::Tensor output, const at::Tensor& input) = 0;
  virtual Work broadcast(at::Tensor tensor, int root) = 0;
  virtual void barrier() = 0;
};

}  // namespace bitlaw::trainer
