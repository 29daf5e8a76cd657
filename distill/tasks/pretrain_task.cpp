#include "distill/tasks/pretrain_task.h"

#include "distill/losses/divergence.h"

namespace bitlaw::distill {

LossTerms PretrainTask::token_loss(const TokenBatch& batch) {
  DivergenceSpec spec;
  spec.loss = Loss::cross_entropy;
  const at::Tensor mean =
      divergence_fused(spec, batch.student_TV, at::Tensor(), batch.targets_T, batch.weights_T).weighted_sum;
  return {mean, {{"cross_entropy", mean.detach()}}};
}

}  // namespace bitlaw::distill
