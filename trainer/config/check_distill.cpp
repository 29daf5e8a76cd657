// The loss between teacher and student, and keys that another task would ignore.
#include <algorithm>
#include <array>

#include "trainer/config/changed_keys.h"
#include "trainer/config/check_parts.h"
#include "trainer/config/field_writer.h"

namespace bitlaw::trainer {

namespace {

using distill::Direction;
using distill::DistillConfig;
using distill::Loss;
using distill::Norm;

void check_unused(const RunConfig& config, Problems& problems) {
  const std::string kind(data::enum_name(config.task.kind));
  for (const std::string& key : changed_keys(config.distill)) {
    const bool already_reported = key == "teacher" && config.task.kind == distill::TaskKind::tokenizer;
    if (!already_reported) {
      problems.add("distill." + key + " is given with task.kind: " + kind,
                   "there is no distillation, so it would be ignored",
                   "remove it, or set task.kind: distill");
    }
  }
}

// Keys that only some losses read.
bool reads(Loss loss, const std::string& key) {
  if (key == "beta") {
    return loss == Loss::jsd;
  }
  if (key == "alpha") {
    return loss == Loss::skew_forward_kl || loss == Loss::skew_reverse_kl;
  }
  if (key == "head_mass") {
    return loss == Loss::akl;
  }
  constexpr std::array kTopkld = {"top_k",       "head",        "tail",      "norm",
                                  "lambda_head", "lambda_tail", "set_source"};
  return loss == Loss::topkld || std::find(kTopkld.begin(), kTopkld.end(), key) == kTopkld.end();
}

void check_keys_of_other_losses(const DistillConfig& distill, Problems& problems) {
  const std::string loss(data::enum_name(distill.loss));
  for (const std::string& key : changed_keys(distill)) {
    if (!reads(distill.loss, key)) {
      problems.add("distill." + key + " is given with distill.loss: " + loss,
                   key == "beta" && distill.loss == Loss::cakld
                       ? "cakld measures its beta with the teacher, so the value would be ignored"
                       : "this loss does not read it, so it would be ignored",
                   "remove it, or choose the loss that it belongs to");
    }
  }
}

void check_topkld(const DistillConfig& distill, Problems& problems) {
  if (distill.norm == Norm::naive && distill.head == Direction::reverse &&
      distill.tail == Direction::forward) {
    problems.add(
        "distill: head: reverse, tail: forward, norm: naive",
        "these partial sums are no divergence: they push mass out of the head, from 0.95 of the teacher "
        "to 0.32 of the student, and the student collapses",
        "use norm: generalised, or head: forward with tail: reverse");
  }
  if (distill.head == Direction::none) {
    problems.add("distill.head: none", "nothing would pull the student to the teacher's most probable tokens",
                 "choose forward or reverse; distill.tail may be none");
  }
  const bool tail_counts = distill.tail != Direction::none && distill.lambda_tail > 0;
  if (distill.lambda_head == 0.0 && !tail_counts && distill.ce_weight == 0.0) {
    problems.add("distill.lambda_head: 0 without a tail and without ce_weight", "the loss would always be 0",
                 "give lambda_head, lambda_tail or ce_weight a value above 0");
  }
  if (distill.top_k == 0 && !tail_counts && distill.ce_weight == 0.0) {
    problems.add("distill.top_k: 0 without a tail", "the head set would be empty and the loss always 0",
                 "give top_k at least 1, or tail: reverse");
  }
}

void check_mixtures(const DistillConfig& distill, Problems& problems) {
  if (distill.loss == Loss::jsd && (distill.beta == 0.0 || distill.beta == 1.0)) {
    problems.add("distill.beta: " + format_number(distill.beta) + " with loss: jsd",
                 "the mixture would be one of the two distributions and the loss always 0",
                 "choose a value between 0 and 1, such as 0.5");
  }
  const bool skew = distill.loss == Loss::skew_forward_kl || distill.loss == Loss::skew_reverse_kl;
  if (skew && distill.alpha == 1.0) {
    problems.add("distill.alpha: 1 with loss: " + std::string(data::enum_name(distill.loss)),
                 "both sides would be the same distribution and the loss always 0",
                 "choose a value below 1, such as 0.1");
  }
  const auto& weights = distill.scale_weights;
  const bool all_zero = std::all_of(weights.begin(), weights.end(), [](double w) { return w == 0.0; });
  if (!weights.empty() && all_zero) {
    problems.add("distill.scale_weights: " + flow_list(weights), "the loss would always be 0",
                 "give at least one scale a weight above 0");
  }
}

}  // namespace

void check_distill(const RunConfig& config, Problems& problems) {
  if (config.task.kind != distill::TaskKind::distill) {
    check_unused(config, problems);
    return;
  }
  check_keys_of_other_losses(config.distill, problems);
  if (config.distill.loss == Loss::topkld) {
    check_topkld(config.distill, problems);
  }
  check_mixtures(config.distill, problems);
}

}  // namespace bitlaw::trainer
