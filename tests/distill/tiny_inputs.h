// What make_task takes for the tiny networks, and what it says when it refuses.
#pragma once

#include <string>

#include "data/formats/input_error.h"
#include "distill/make_task.h"
#include "tests/distill/tasks/tiny.h"

namespace bitlaw::distill {

inline SourceModel tokenizer_source() {
  SourceModel source;
  source.origin = "runs/tokenizer";
  source.config.family = Family::vq;
  source.config.vq = tiny::vq_config();
  source.state = tiny::copy_of_state(*tiny::make_tokenizer());
  source.parameter_hash = "aa";
  source.num_classes = tiny::kClasses;
  return source;
}

inline SourceModel var_source(const ModelConfig& config = tiny::var_config()) {
  SourceModel source;
  source.origin = "runs/teacher";
  source.config = config;
  source.state = tiny::copy_of_state(*tiny::make_var(7, config));
  source.parameter_hash = "bb";
  source.num_classes = tiny::kClasses;
  source.tokenizer = tiny::vq_config();
  source.tokenizer_hash = "aa";
  return source;
}

inline TaskInputs distill_inputs() {
  TaskInputs inputs;
  inputs.seed = 1;
  inputs.task = {TaskKind::distill, 0.1};
  inputs.model = tiny::var_config();
  inputs.model.init = "teacher";
  inputs.distill.top_k = 4;
  inputs.train.kind = "tokens";
  inputs.train.size = 100;
  inputs.train.num_classes = tiny::kClasses;
  inputs.train.shape = {tiny::kTokens};
  inputs.train.tokenizer_hash = "aa";
  inputs.train.vocab_size = tiny::kVocabulary;
  inputs.train.patch_nums = tiny::vq_config().patch_nums;
  inputs.tokenizer = tokenizer_source();
  inputs.teacher = var_source();
  return inputs;
}

inline std::string refusal(const TaskInputs& inputs) {
  try {
    make_task(inputs);
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace bitlaw::distill
