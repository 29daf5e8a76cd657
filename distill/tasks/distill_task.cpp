#include "distill/tasks/distill_task.h"

#include <utility>

namespace bitlaw::distill {

DistillTask::DistillTask(std::shared_ptr<Var> student, std::shared_ptr<VqTokenizer> tokenizer,
                         Teacher teacher, VarTaskOptions options, const Objective& objective)
    : VarTask(std::move(student), std::move(tokenizer), std::move(teacher), std::move(options)),
      objective_(objective) {}

LossTerms DistillTask::token_loss(const TokenBatch& batch) {
  const at::Tensor divergence = divergence_fused(objective_.divergence, batch.student_TV, batch.teacher_TV,
                                                 batch.targets_T, batch.weights_T)
                                    .weighted_sum;
  LossTerms loss{divergence,
                 {{std::string(data::enum_name(objective_.divergence.loss)), divergence.detach()}}};
  if (objective_.ce_weight != 0.0) {
    DivergenceSpec spec;
    spec.loss = Loss::cross_entropy;
    const at::Tensor cross_entropy =
        divergence_fused(spec, batch.student_TV, at::Tensor(), batch.targets_T, batch.weights_T).weighted_sum;
    loss.total = loss.total + objective_.ce_weight * cross_entropy;
    loss.terms.emplace_back("cross_entropy", cross_entropy.detach());
  }
  return loss;
}

}  // namespace bitlaw::distill
