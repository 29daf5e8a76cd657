// Everything a training run starts from: data sets, tokenizer, teacher, initial weights; loaded once, named
// by hash.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "distill/make_task.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

struct TrainingSources {
  std::shared_ptr<const data::Dataset> train;
  std::shared_ptr<const data::Dataset> validation;
  std::optional<distill::SourceModel> tokenizer;
  std::optional<distill::SourceModel> teacher;
  std::optional<distill::SourceModel> init;
};

// InputError for a path that holds nothing that can be used.
TrainingSources load_training_sources(const trainer::RunConfig& config);

// A VAR's configuration records the geometry of its tokenizer (model.vq), so that its checkpoints explain
// themselves.
void record_tokenizer_geometry(trainer::RunConfig& config, const TrainingSources& sources);

// identity_yaml and the hashes of the sources.
std::string run_identity(const trainer::RunConfig& config, const TrainingSources& sources);

distill::TaskInputs task_inputs(const trainer::RunConfig& config, const TrainingSources& sources);

}  // namespace bitlaw::launch
