// Cross entropy with the data: a teacher's training, and quantisation-aware training without a teacher.
#pragma once

#include "distill/tasks/var_task.h"

namespace bitlaw::distill {

// Term: cross_entropy. A teacher, if given, only adds its figures to evaluate().
class PretrainTask final : public VarTask {
 public:
  using VarTask::VarTask;

 protected:
  bool learns_from_teacher() const override { return false; }
  LossTerms token_loss(const TokenBatch& batch) override;
};

}  // namespace bitlaw::distill
