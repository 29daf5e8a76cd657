#include "distill/tasks/var_task.h"

#include "distill/metrics/token_metrics.h"
#include "quant/progressive.h"
#include "quant/requantise.h"

namespace bitlaw::distill {
namespace {

at::Tensor flatten_tokens(const at::Tensor& logits_BLV) {
  return logits_BLV.flatten(0, 1);
}

}  // namespace

at::Tensor token_weights(const std::vector<std::int64_t>& patch_nums,
                         const std::vector<double>& scale_weights, std::int64_t batch_size) {
  std::vector<double> weights;
  double sum = 0.0;
  for (std::size_t k = 0; k < patch_nums.size(); ++k) {
    const double weight = scale_weights.empty() ? 1.0 : scale_weights[k];
    const std::int64_t tokens = patch_nums[k] * patch_nums[k];
    weights.insert(weights.end(), static_cast<std::size_t>(tokens), weight);
    sum += weight * static_cast<double>(tokens);
  }
  const at::Tensor one_sample = at::tensor(weights, at::kDouble) / (sum * static_cast<double>(batch_size));
  return one_sample.to(at::kFloat).repeat({batch_size});
}

VarTask::VarTask(std::shared_ptr<Var> student, std::shared_ptr<VqTokenizer> tokenizer,
                 std::optional<Teacher> teacher, VarTaskOptions options)
    : student_(std::move(student)),
      preparer_(std::move(tokenizer)),
      teacher_(std::move(teacher)),
      options_(std::move(options)) {}

std::int64_t VarTask::tokens_per_sample() const {
  return token_count(student_->shape().patch_nums);
}

const at::Tensor& VarTask::weights_of(std::int64_t batch_size, at::Device device) {
  if (!weights_T_.defined() || weights_T_.numel() != batch_size * tokens_per_sample()) {
    weights_T_ = token_weights(student_->shape().patch_nums, options_.scale_weights, batch_size).to(device);
  }
  return weights_T_;
}

Restart VarTask::begin_step(std::int64_t step) {
  if (!quant::changes_at(options_.quant, step)) {
    return {};
  }
  const quant::QuantConfig config = quant::config_at(options_.quant, step);
  return {quant::change_specs(*student_, config), "quant.progressive: weights have " +
                                                      std::to_string(*config.weights.num_bits) +
                                                      " bits from here on, with new scales"};
}

TokenInput VarTask::training_input(const data::Batch& batch) {
  TokenInput input = preparer_.prepare(batch);
  input.labels_B = drop_labels(batch, options_.seed, options_.label_drop, student_->shape().num_classes);
  return input;
}

LossTerms VarTask::loss(const data::Batch& batch) {
  const TokenInput input = training_input(batch);
  TokenBatch tokens;
  if (learns_from_teacher()) {  // first: its activations are gone before the student's are kept for backward
    tokens.teacher_TV = flatten_tokens(teacher_->logits(input.labels_B, input.var_input_BLE));
  }
  const at::Tensor student_BLV = student_->forward(input.labels_B, input.var_input_BLE).to(at::kFloat);
  tokens.student_TV = flatten_tokens(student_BLV);
  tokens.targets_T = input.tokens_BL.flatten();
  tokens.weights_T = weights_of(batch.size(), student_BLV.device());
  return token_loss(tokens);
}

void VarTask::run_blocks(const data::Batch& batch, std::int64_t blocks) {
  const at::NoGradGuard no_grad;
  const TokenInput input = training_input(batch);
  if (blocks > student_->shape().depth) {
    student_->forward(input.labels_B, input.var_input_BLE);
  } else {
    student_->forward_blocks(input.labels_B, input.var_input_BLE, blocks);
  }
}

at::Tensor VarTask::student_logits(const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  const TokenInput input = preparer_.prepare(batch);
  return student_->forward(input.labels_B, input.var_input_BLE).to(at::kFloat);
}

VarTask::Logits VarTask::evaluation_logits(const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  const TokenInput input = preparer_.prepare(batch);
  Logits logits;
  logits.labels_B = input.labels_B;
  logits.tokens_BL = input.tokens_BL;
  logits.student_BLV = student_->forward(input.labels_B, input.var_input_BLE).to(at::kFloat);
  if (teacher_) {
    logits.teacher_BLV = teacher_->logits(input.labels_B, input.var_input_BLE);
  }
  return logits;
}

quant::Statistics VarTask::evaluate(const data::Batch& batch) {
  const Logits logits = evaluation_logits(batch);
  quant::Statistics sums =
      token_metrics(flatten_tokens(logits.student_BLV),
                    logits.teacher_BLV.defined() ? flatten_tokens(logits.teacher_BLV) : at::Tensor(),
                    logits.tokens_BL.flatten());
  sums.add("samples", static_cast<double>(batch.size()));
  return sums;
}

std::vector<std::pair<std::string, double>> VarTask::report(const quant::Statistics& merged) const {
  return token_report(merged);
}

}  // namespace bitlaw::distill
