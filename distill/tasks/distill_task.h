// Learning from a teacher's token distributions.
#pragma once

#include "distill/losses/divergence.h"
#include "distill/tasks/var_task.h"

namespace bitlaw::distill {

// loss = mean over tokens of divergence(teacher, student) + ce_weight * cross entropy with the data. Terms:
// the name of the divergence and, when ce_weight is not 0, cross_entropy (before the factor).
class DistillTask final : public VarTask {
 public:
  struct Objective {
    DivergenceSpec divergence;
    double ce_weight = 0.0;
  };
  DistillTask(std::shared_ptr<Var> student, std::shared_ptr<VqTokenizer> tokenizer, Teacher teacher,
              VarTaskOptions options, const Objective& objective);

 protected:
  bool learns_from_teacher() const override { return true; }
  LossTerms token_loss(const TokenBatch& batch) override;

 private:
  Objective objective_;
};

}  // namespace bitlaw::distill
