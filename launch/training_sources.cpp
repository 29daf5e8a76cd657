#include "launch/training_sources.h"

#include <fmt/format.h>

#include "data/loader.h"
#include "data/shard_dataset.h"
#include "launch/model_source.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {

TrainingSources load_training_sources(const trainer::RunConfig& config) {
  TrainingSources sources;
  sources.train = std::make_shared<data::ShardDataset>(config.data.train);
  data::check_augmentation(sources.train->info(), config.data.flip, config.data.crop_padding);
  sources.validation = std::make_shared<data::ShardDataset>(config.data.validation);
  if (config.task.kind != distill::TaskKind::tokenizer) {
    sources.tokenizer =
        load_source(config.tokenizer.from, {Weights::model, "tokenizer.from"}, SourceUse::deployed);
  }
  if (!config.distill.teacher.empty()) {
    const bool ema = config.distill.teacher_weights == distill::TeacherWeights::ema;
    sources.teacher =
        load_source(config.distill.teacher, {ema ? Weights::ema : Weights::model, "distill.teacher_weights"},
                    SourceUse::deployed);
  }
  if (config.model.init != "random" && config.model.init != "teacher") {
    const bool keeps_codes = config.quant.method == quant::Method::e2e_qp;
    sources.init = load_source(config.model.init, {}, keeps_codes ? SourceUse::codes : SourceUse::masters);
  }
  return sources;
}

void record_tokenizer_geometry(trainer::RunConfig& config, const TrainingSources& sources) {
  if (sources.tokenizer) {
    config.model.vq = sources.tokenizer->config.vq;
  }
}

std::string run_identity(const trainer::RunConfig& config, const TrainingSources& sources) {
  std::string text = trainer::identity_yaml(config);
  if (!text.empty() && text.back() != '\n') {
    text += '\n';
  }
  text += "sources:\n";
  text += fmt::format("  train: {}\n", sources.train->info().content_hash);
  text += fmt::format("  validation: {}\n", sources.validation->info().content_hash);
  const auto add = [&](const char* name, const std::optional<distill::SourceModel>& source) {
    if (source) {
      text += fmt::format("  {}: {}\n", name, source->parameter_hash);
    }
  };
  add("tokenizer", sources.tokenizer);
  add("teacher", sources.teacher);
  add("init", sources.init);
  return text;
}

distill::TaskInputs task_inputs(const trainer::RunConfig& config, const TrainingSources& sources) {
  distill::TaskInputs inputs;
  inputs.seed = static_cast<std::uint64_t>(config.run.seed);
  inputs.task = config.task;
  inputs.model = config.model;
  inputs.quant = config.quant;
  inputs.distill = config.distill;
  inputs.train = sources.train->info();
  inputs.tokenizer = sources.tokenizer;
  inputs.teacher = sources.teacher;
  inputs.init = sources.init;
  inputs.validation = sources.validation;
  inputs.activation_checkpointing = config.train.activation_checkpointing;
  return inputs;
}

}  // namespace bitlaw::launch
