#include "launch/quantise_alone.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "data/formats/input_error.h"
#include "distill/problems.h"
#include "distill/quantise_weights.h"
#include "distill/task_checks.h"
#include "launch/exit_code.h"
#include "launch/model_source.h"
#include "launch/rank_group.h"
#include "launch/run_folder.h"
#include "quant/containers/model_state.h"
#include "quant/methods/method_plan.h"
#include "quant/prepare.h"
#include "quant/requantise.h"
#include "trainer/agreement.h"
#include "trainer/checkpoint.h"
#include "trainer/config/check.h"
#include "trainer/config/writer.h"
#include "trainer/log.h"
#include "trainer/named_tensors.h"
#include "trainer/run_state.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_vote.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct Prepared {
  std::shared_ptr<torch::nn::Module> model;
  quant::PrepareReport report;
};

// The run speaks the tokens of the model that it is made of.
void take_tokenizer(trainer::RunConfig& config, const ModelOrigin& origin) {
  if (config.model.family != distill::Family::var) {
    return;
  }
  config.model.vq = origin.tokenizer;
  if (config.tokenizer.from.empty()) {
    config.tokenizer.from = origin.config.tokenizer.from;
    return;
  }
  const std::string found =
      load_model(config.tokenizer.from, {Weights::model, "tokenizer.from"}).origin.parameter_hash;
  if (found != origin.tokenizer_hash) {
    throw data::InputError(
        fmt::format("tokenizer.from: parameter_hash of {} is {}, {} speaks the tokens of {}",
                    config.tokenizer.from, found, origin.path.string(), origin.tokenizer_hash),
        "its codes mean other things", "name the model's own tokenizer, or remove the key");
  }
}

// The weights that model.init names; `config` then says what tokens they speak.
distill::SourceModel load_origin(trainer::RunConfig& config) {
  const LoadedModel loaded = load_model(config.model.init);
  take_tokenizer(config, loaded.origin);
  return source_of(loaded, SourceUse::masters);
}

Prepared prepare_model(const trainer::RunConfig& config, const distill::SourceModel& source) {
  distill::Problems problems;
  Prepared prepared;
  problems.collect([&] {
    prepared.model = distill::make_model(config.model, config.model.vq, source.num_classes);
    const std::string key = "model.init: " + config.model.init;
    if (distill::check_weights_fit(*prepared.model, source, key, problems)) {
      quant::load_state(*prepared.model, source.state);
      prepared.report = quant::prepare(*prepared.model, config.quant, quant::ScaleInit::from_weights);
      distill::check_specs_fit(prepared.report, source, key, problems);
    }
  });
  problems.throw_if_any();
  prepared.model->eval();
  return prepared;
}

// A mark beside a checkpoint that is damaged is no run: InputError, as from all that would read it.
bool is_whole(const trainer::RunConfig& config, const std::string& identity, trainer::Log& log) {
  const fs::path run = run_path(config);
  if (!read_finished(run)) {
    return false;
  }
  const auto newest = trainer::newest_whole_checkpoint(run / "checkpoints");
  for (const std::string& line : newest.skipped) {
    log.warn(line);
  }
  if (!newest.path) {
    return false;
  }
  trainer::require_same_run(trainer::read_checkpoint_texts(*newest.path), config, identity,
                            newest.path->string());
  return true;
}

// Rank 0's look at the folder is that of all: another host may see an older state of it.
bool is_done(const trainer::RunConfig& config, const std::string& identity, trainer::Collective& collective,
             trainer::Log& log) {
  bool done = false;
  trainer::on_rank_0([&] { done = is_whole(config, identity, log); }, collective);
  return trainer::decision_of_rank_0(done, collective);
}

void leave_if_asked(trainer::Collective& collective) {
  trainer::StopVote vote(collective);
  vote.next(trainer::stop_requested());
  if (vote.next(false)) {
    throw trainer::StopRequested("asked to stop before layers were quantised: nothing was written");
  }
}

// The checkpoint of step 0 of a run without moments and averages. Returns the parameter_hash.
std::string save(torch::nn::Module& model, trainer::TrainerInputs inputs, trainer::Collective& collective) {
  trainer::CheckpointState state;
  state.tensors = trainer::with_prefix(quant::state_of(model, quant::StateScope::checkpoint), "model/");
  const trainer::TensorHashes hashes = trainer::hash_each(state.tensors);
  trainer::require_equal_on_all_ranks(hashes, 0, collective);
  const std::string parameter_hash = quant::parameter_hash(model);
  state.texts = trainer::checkpoint_texts(
      inputs, {0, collective.size(), parameter_hash, trainer::state_hash(hashes, 0)});
  trainer::CheckpointWriter::Options options;
  options.folder = inputs.run_folder / "checkpoints";
  options.asynchronous = false;
  options.incarnation = inputs.incarnation;
  options.report = [&inputs](const std::string& text) { inputs.log->warn(text); };
  trainer::CheckpointWriter writer(options, collective);
  writer.save(state);
  writer.finish();
  return parameter_hash;
}

trainer::TrainerInputs describe_run(const trainer::RunConfig& config, const std::string& identity,
                                    const distill::SourceModel& source) {
  trainer::TrainerInputs inputs;
  inputs.config = config;
  inputs.run_folder = run_path(config);
  inputs.identity = identity;
  inputs.texts["num_classes"] = std::to_string(source.num_classes);
  inputs.texts["tokenizer_hash"] = source.tokenizer_hash;
  return inputs;
}

void make_run(const Prepared& prepared, trainer::TrainerInputs inputs, trainer::Collective& collective) {
  const trainer::RunConfig config = inputs.config;
  const std::shared_ptr<trainer::Log> log = inputs.log;
  log->info(fmt::format("{}: the weights of {}, without a sample", config.run.name, config.model.init));
  log->info("quantisation:\n" + prepared.report.to_string());
  if (quant::is_calibrated(config.quant)) {
    log->info("layers:\n" + distill::to_string(distill::quantise_weights(*prepared.model, config.quant,
                                                                         rank_group(collective))));
  } else {
    quant::round_masters(*prepared.model);
  }
  const std::string hash = save(*prepared.model, std::move(inputs), collective);
  trainer::on_rank_0([&] { write_finished(run_path(config), {0, hash}); }, collective);
  log->info("finished: " + run_path(config).string());
}

int quantise_on(trainer::Collective& collective, trainer::RunConfig config, const TrainingOptions& options) {
  const at::NoGradGuard no_grad;
  trainer::check_config(config, collective.size(), trainer::Use::weights_alone);
  trainer::Log log(collective.rank(), options.verbosity);
  const distill::SourceModel source = load_origin(config);
  const std::string identity =
      trainer::identity_yaml(config) + fmt::format("sources:\n  init: {}\n", source.parameter_hash);
  trainer::require_same_yaml(identity, "the identity of the run", collective);
  RunLock lock;
  if (!options.dry_run) {
    lock_run_folder(config, collective, lock);
  }
  if (is_done(config, identity, collective, log)) {
    log.info(fmt::format("{} is finished: nothing to do", run_path(config).string()));
    return kDone;
  }
  const Prepared prepared = prepare_model(config, source);
  if (options.dry_run) {
    log.info("quantisation:\n" + prepared.report.to_string());
    log.info("dry run: everything was checked, nothing was written");
    return kDone;
  }
  leave_if_asked(collective);
  trainer::TrainerInputs inputs = describe_run(config, identity, source);
  inputs.incarnation = claim_for_ranks(config, identity, collective, lock);
  inputs.log = std::make_shared<trainer::Log>(inputs.run_folder, collective.rank(), options.verbosity);
  make_run(prepared, std::move(inputs), collective);
  return kDone;
}

}  // namespace

bool needs_no_samples(const trainer::RunConfig& config) {
  return config.data.train.empty() && config.data.validation.empty() &&
         quant::what_needs_samples(config.quant).empty();
}

int quantise_alone(trainer::RunConfig config, const TrainingOptions& options) {
  return run_on_ranks(config.parallel, [&](trainer::Collective& collective) {
    return quantise_on(collective, config, options);
  });
}

}  // namespace bitlaw::launch
