// What training a VAR has in common, whatever its loss: tokens in, logits out, figures of the validation set.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "distill/models/var.h"
#include "distill/task.h"
#include "distill/tasks/token_input.h"
#include "distill/teacher.h"

namespace bitlaw::distill {

struct VarTaskOptions {
  std::uint64_t seed = 0;
  double label_drop = 0.0;
  std::vector<double> scale_weights;  // of each scale's tokens in the loss; empty: all 1
  quant::QuantConfig quant = {};      // its progressive widths
};

// Weights of the tokens of a batch, float32 [batch * L], that sum to 1: each token has the weight of its
// scale over the sum of all tokens' weights, so a loss is a (weighted) mean over tokens.
at::Tensor token_weights(const std::vector<std::int64_t>& patch_nums,
                         const std::vector<double>& scale_weights, std::int64_t batch_size);

// Figures of evaluate(): cross_entropy, with a teacher kl_teacher_student, kl_student_teacher and
// top1_agreement, then accuracy, all per token (distill/metrics/token_metrics.h), without label drop.
class VarTask : public Task {
 public:
  VarTask(std::shared_ptr<Var> student, std::shared_ptr<VqTokenizer> tokenizer,
          std::optional<Teacher> teacher, VarTaskOptions options);

  LossTerms loss(const data::Batch& batch) final;
  torch::nn::Module& model() final { return *student_; }
  quant::Statistics evaluate(const data::Batch& batch) final;
  std::vector<std::pair<std::string, double>> report(const quant::Statistics& merged) const final;
  std::int64_t tokens_per_sample() const final;
  Restart begin_step(std::int64_t step) final;  // other widths, where quant.progressive has them

  // Runs the samples of a batch through the student's first `blocks` blocks, with one more also through its
  // head; labels are dropped as in training. No graph.
  void run_blocks(const data::Batch& batch, std::int64_t blocks);
  // What the student's forward takes for the samples of a batch, labels dropped as in training.
  TokenInput training_input(const data::Batch& batch);
  Var& student() { return *student_; }
  // float32 [B, L, V] of the samples of a batch, without label drop. No graph.
  at::Tensor student_logits(const data::Batch& batch);

  struct Logits {
    at::Tensor labels_B;
    at::Tensor tokens_BL;
    at::Tensor student_BLV;  // float32
    at::Tensor teacher_BLV;  // float32, undefined without a teacher
  };
  // What evaluate() looks at: no label drop, no graph.
  Logits evaluation_logits(const data::Batch& batch);

 protected:
  // Whether training needs the teacher's logits; a teacher may also be there for evaluate() alone.
  virtual bool learns_from_teacher() const = 0;
  // Flattened over the batch: student float32 [T, V] with a graph, teacher float32 [T, V] (undefined unless
  // learns_from_teacher), targets int64 [T], weights float32 [T] that sum to 1.
  struct TokenBatch {
    at::Tensor student_TV;
    at::Tensor teacher_TV;
    at::Tensor targets_T;
    at::Tensor weights_T;
  };
  virtual LossTerms token_loss(const TokenBatch& batch) = 0;

 private:
  const at::Tensor& weights_of(std::int64_t batch_size, at::Device device);

  std::shared_ptr<Var> student_;
  TokenPreparer preparer_;
  std::optional<Teacher> teacher_;
  VarTaskOptions options_;
  at::Tensor weights_T_;  // of the last batch size
};

}  // namespace bitlaw::distill
