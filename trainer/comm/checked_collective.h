// A Collective over any Transport: arguments are checked before anything is sent, every wait has a deadline,
// and a failure lasts. Messages name the rank and the operation.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "trainer/comm/collective.h"
#include "trainer/comm/transport.h"

namespace bitlaw::trainer {

class CheckedCollective : public Collective {
 public:
  // deadline: of one wait, counted from the moment this rank starts to wait.
  CheckedCollective(std::unique_ptr<Transport> transport, std::chrono::milliseconds deadline);
  ~CheckedCollective() override;

  int rank() const override;
  int size() const override;
  int local_rank() const override;
  Work all_reduce(at::Tensor tensor, ReduceOp op) override;
  Work reduce_scatter(at::Tensor output, const at::Tensor& input, ReduceOp op) override;
  Work all_gather(at::Tensor output, const at::Tensor& input) override;
  Work broadcast(at::Tensor tensor, int root) override;
  void barrier() override;

  struct Shared;  // outlives this object in a Work that is still held

 private:
  Work start(Call call);
  std::shared_ptr<Shared> shared_;
};

}  // namespace bitlaw::trainer
