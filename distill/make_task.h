// Builds the task that a configuration describes, from states that the caller has loaded.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "distill/config.h"
#include "distill/task.h"
#include "quant/config.h"
#include "quant/pack.h"
#include "quant/packed_input.h"
#include "quant/prepare.h"

namespace bitlaw::distill {

using State = std::map<std::string, at::Tensor>;  // by published name

// A model outside this run: where it came from, its geometry and its weights.
struct SourceModel {
  std::string origin;  // for messages
  ModelConfig config;
  State state;  // full-precision masters, or dequantised weights of an export
  std::map<std::string, quant::QuantSpec> specs;  // of its quantised layers, by name
  std::map<std::string, quant::PackedTensor>
      weights;  // codes and scales by layer name, where they were asked for
  std::map<std::string, quant::PackedInput> activations;  // and of quantised inputs, likewise
  std::string parameter_hash;
  std::int64_t num_classes = 0;
  VqConfig tokenizer;  // var: geometry of the tokenizer whose tokens it speaks
  std::string tokenizer_hash;
};

struct TaskInputs {
  std::uint64_t seed = 0;
  TaskConfig task;
  ModelConfig model;
  quant::QuantConfig quant;
  DistillConfig distill;
  data::DatasetInfo train;               // classes, vocabulary, tokenizer hash, sample shape
  std::optional<SourceModel> tokenizer;  // pretrain, distill
  std::optional<SourceModel> teacher;    // distill
  std::optional<SourceModel> init;       // model.init: PATH
  bool resume = false;                   // state will be loaded: do not search scales
  std::int64_t step = 0;                 // of that state
  bool activation_checkpointing = false;
  std::shared_ptr<const data::Dataset> validation;  // cakld: its beta is measured on the first samples
};

struct MadeTask {
  std::unique_ptr<Task> task;
  quant::PrepareReport report;  // empty without quantisation
};

// InputError, all problems at once: teacher with another vocabulary or scales, tokens of another tokenizer,
// shapes that do not fit init: teacher, ...
MadeTask make_task(const TaskInputs& inputs);

// cakld's beta: the mean over tokens of the teacher's largest probability, over the first `samples` of
// inputs.validation, in float32. Needs inputs.teacher and inputs.tokenizer. make_task calls it where it is
// needed, with kConfidenceSamples; every rank computes it alone and gets the same number.
inline constexpr std::int64_t kConfidenceSamples = 256;
double measure_teacher_confidence(const TaskInputs& inputs, std::int64_t samples);

Family family_of(const torch::nn::Module& model);  // of one that make_model made

// The bare networks, for eval, sample, export and verify.
std::shared_ptr<torch::nn::Module> make_model(const ModelConfig& model, const VqConfig& tokenizer,
                                              std::int64_t num_classes);

}  // namespace bitlaw::distill
