// Figures of a model on a validation set, under one protocol for runs and exports: docs/evaluation.md.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "distill/task.h"
#include "launch/model_source.h"
#include "trainer/comm/collective.h"

namespace bitlaw::launch {

// What is asked; an empty member is answered by the model's own configuration.
struct EvaluationRequest {
  std::filesystem::path model;  // run, checkpoint or export
  WeightsWish weights;
  std::string teacher;  // run or export; "none": without one
  std::optional<distill::TeacherWeights> teacher_weights;
  std::string data;       // folder of shards
  std::string tokenizer;  // run or export
  std::int64_t samples = 0;
  std::optional<trainer::Precision> precision;
};

// Everything that the figures depend on, loaded and found to fit together.
struct EvaluationSetup {
  ModelOrigin origin;
  std::optional<ModelOrigin> teacher;
  std::string data_path;
  std::shared_ptr<const data::Dataset> dataset;
  std::unique_ptr<distill::Task> task;
  trainer::EvalConfig eval;  // samples (at most those there are) and micro batch
  trainer::Precision precision = trainer::Precision::fp32;
};

// InputError: no data, tokens of another tokenizer, a teacher with another vocabulary, scales or tokenizer.
EvaluationSetup prepare_evaluation(const EvaluationRequest& request);

// Called by all ranks; every rank gets the same figures, whatever the number of ranks.
std::vector<std::pair<std::string, double>> run_evaluation(EvaluationSetup& setup,
                                                           trainer::Collective& collective);

// tokens int64 [N, L], labels int64 [N], student_logits and, with a teacher, teacher_logits float32 [N, L,
// V]: what the figures were made of, in the same micro batches. InputError for a tokenizer or when the file
// cannot be written; trainer::StopRequested.
void dump_logits(EvaluationSetup& setup, const std::filesystem::path& file);

}  // namespace bitlaw::launch
