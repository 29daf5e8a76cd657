// Models out of run folders and exports: what train, eval, sample, export and verify start from.
//
// A path names a run folder (its latest committed checkpoint), one checkpoint folder, an exported file, or a
// folder that holds an exported model.h5.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "distill/make_task.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "quant/containers/native.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

enum class Weights { model, ema };     // as trained, or their moving averages
const char* name_of(Weights weights);  // "model", "ema"

// Which weights are wanted, and who says so ("--ema", "distill.teacher_weights"), for messages. An export
// holds one of the two: one that somebody asks for must be it. Said by nobody, the wish is for runs alone.
struct WeightsWish {
  Weights weights = Weights::model;
  std::string said_by = {};
};
WeightsWish wish_of_flag(bool ema);  // of --ema: without it, nobody says anything

// Where a model came from and what it is. `config` is the run's own, complete.
struct ModelOrigin {
  std::filesystem::path path;
  bool is_export = false;
  trainer::RunConfig config;
  Weights weights = Weights::model;
  std::int64_t step = 0;
  std::int64_t num_classes = 0;
  distill::VqConfig tokenizer;  // var: geometry of the tokenizer whose tokens it speaks
  std::string tokenizer_hash;   // var: parameter_hash of that tokenizer
  std::string parameter_hash;   // of the masters that were trained
  std::string state_hash;       // runs only
  std::string imported_from;    // file and section of published weights; empty: made by a run
};

struct LoadedModel {
  ModelOrigin origin;
  std::shared_ptr<torch::nn::Module>
      model;  // as distill::make_model made it, in eval mode. From a run:
              // masters with their quantizers attached; from an export: dequantised
  std::shared_ptr<const quant::PackedModel> packed;  // what an exported file holds; null from a run
};

// InputError: nothing that can be used is there, a run without moving averages, an export of other weights
// than asked for.
LoadedModel load_model(const std::filesystem::path& path, const WeightsWish& wish = {});

// The same as values for a task: the deployed weights (dequantised; inputs stay as they are) for a teacher or
// tokenizer, the masters without quantiser state for a student's initial weights, codes and scales with them
// (`codes`), and those of its inputs, where it keeps the codes. Masters of layers that have none are their
// deployed weights.
enum class SourceUse { deployed, masters, codes };
distill::SourceModel source_of(const LoadedModel& loaded, SourceUse use);
distill::SourceModel load_source(const std::filesystem::path& path, const WeightsWish& wish, SourceUse use);

// The tokenizer of a VAR model: `path` when given, else tokenizer.h5 beside an export, else the run that
// origin.config.tokenizer.from names. InputError when its parameter_hash is not origin.tokenizer_hash.
LoadedModel load_tokenizer(const ModelOrigin& origin, const std::filesystem::path& path);
std::shared_ptr<distill::VqTokenizer> tokenizer_of(const LoadedModel& loaded);  // null: it is none

}  // namespace bitlaw::launch
