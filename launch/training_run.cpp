#include "launch/training_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "data/formats/input_error.h"
#include "launch/exit_code.h"
#include "launch/run_folder.h"
#include "launch/training_sources.h"
#include "quant/containers/model_state.h"
#include "trainer/agreement.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/bootstrap.h"
#include "trainer/config/check.h"
#include "trainer/config/scalars.h"
#include "trainer/config/writer.h"
#include "trainer/log.h"
#include "trainer/run_state.h"
#include "trainer/trainer.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct Resume {
  fs::path checkpoint;
  std::map<std::string, std::string> texts;
  trainer::Parts parts = trainer::Parts::to_verify;
  std::int64_t step() const { return trainer::parse_integer(texts.at("step")).value_or(0); }
};

// What can be said without reading a tensor is said before the run's folder is touched.
Resume accept(const fs::path& checkpoint, trainer::Parts parts, const trainer::RunConfig& config,
              const std::string& identity) {
  Resume resume{checkpoint, trainer::read_checkpoint_texts(checkpoint), parts};
  trainer::require_same_run(resume.texts, config, identity, checkpoint.string());
  return resume;
}

std::optional<Resume> find_resume(const trainer::RunConfig& config, const std::string& identity,
                                  const std::string& wish, trainer::Log& log) {
  const fs::path folder = run_path(config) / "checkpoints";
  if (wish != "auto" && wish != "never") {
    return accept(wish, trainer::Parts::to_verify, config, identity);
  }
  if (wish == "never") {
    if (!trainer::committed_steps(folder).empty()) {
      throw data::InputError(fmt::format("--resume never: {} holds checkpoints", folder.string()),
                             "starting again would overwrite them",
                             "choose another run.name, or remove the folder");
    }
    return std::nullopt;
  }
  const auto newest = trainer::newest_whole_checkpoint(folder);
  for (const std::string& line : newest.skipped) {
    log.warn(line);
  }
  if (!newest.path) {
    if (fs::exists(run_path(config) / "metrics.jsonl")) {
      log.warn(run_path(config).string() +
               " holds the record of an earlier start, but no checkpoint: from step 0");
    }
    return std::nullopt;
  }
  return accept(*newest.path, trainer::Parts::verified, config, identity);
}

std::map<std::string, std::string> checkpoint_texts(const TrainingSources& sources) {
  std::map<std::string, std::string> texts;
  texts["num_classes"] = std::to_string(sources.train->info().num_classes);
  texts["tokenizer_hash"] = sources.tokenizer ? sources.tokenizer->parameter_hash : "";
  return texts;
}

std::string start_text(const trainer::RunConfig& config, distill::Task& task, int ranks) {
  std::int64_t parameters = 0;
  for (const distill::NamedParameter& parameter : task.parameters()) {
    parameters += parameter.tensor.numel();
  }
  return fmt::format(
      "{}: {} of a {} with {:.2f} M parameters, {} steps on the CPU; {} rank(s) x {} micro batch(es) of {}, "
      "{} "
      "thread(s) each",
      config.run.name, data::enum_name(config.task.kind), data::enum_name(config.model.family),
      static_cast<double>(parameters) * 1e-6, config.train.max_steps, ranks,
      config.train.global_batch_size / (config.train.micro_batch_size * ranks), config.train.micro_batch_size,
      at::get_num_threads());
}

std::string origin_text(const trainer::RunConfig& config, const std::optional<Resume>& resume) {
  if (resume) {
    return fmt::format("continues at step {} of {} from {}", resume->step(), config.train.max_steps,
                       resume->checkpoint.string());
  }
  if (config.model.init == "teacher") {
    return fmt::format("starts from the weights of {}", config.distill.teacher);
  }
  return config.model.init == "random" ? std::string("starts from random weights")
                                       : fmt::format("starts from the weights of {}", config.model.init);
}

// A student that is quantised from the first step on learns little from random weights.
bool starts_badly(const trainer::RunConfig& config, const std::optional<Resume>& resume) {
  return !resume && config.model.init == "random" && config.task.kind == distill::TaskKind::distill &&
         config.quant.method != quant::Method::none;
}

void log_start(trainer::Log& log, const trainer::RunConfig& config, const distill::MadeTask& made,
               const std::optional<Resume>& resume, int ranks) {
  log.info(start_text(config, *made.task, ranks));
  log.info(origin_text(config, resume));
  if (starts_badly(config, resume)) {
    log.warn(
        "model.init: random, although there is a teacher [a quantised student usually starts as its "
        "teacher]; set model.init: teacher where the shapes are equal");
  }
  if (!made.report.layers.empty()) {
    log.info("quantisation:\n" + made.report.to_string());
  }
}

// A mark of fewer steps is of the time before train.max_steps grew.
bool is_done(const trainer::RunConfig& config, const std::optional<Resume>& resume) {
  const auto mark = read_finished(run_path(config));
  return resume && resume->step() >= config.train.max_steps && mark && mark->step >= config.train.max_steps;
}

// What a start needs to make the run's folder its own.
struct Claim {
  trainer::Collective& collective;
  RunLock& lock;
};

// The trainer's inputs, from a folder that is ours now.
trainer::TrainerInputs claim_inputs(const trainer::RunConfig& config, const TrainingSources& sources,
                                    const std::string& identity, const TrainingOptions& options,
                                    Claim claim) {
  trainer::TrainerInputs inputs;
  trainer::Collective& collective = claim.collective;
  inputs.incarnation = claim_for_ranks(config, identity, collective, claim.lock);
  inputs.config = config;
  inputs.run_folder = run_path(config);
  inputs.identity = identity;
  inputs.texts = checkpoint_texts(sources);
  inputs.train = sources.train;
  inputs.validation = sources.validation;
  inputs.stop_at = options.stop_at;
  inputs.log = std::make_shared<trainer::Log>(inputs.run_folder, collective.rank(), options.verbosity);
  inputs.progress = trainer::progress_style({.rank = collective.rank(),
                                             .is_terminal = isatty(STDERR_FILENO) != 0,
                                             .quiet = options.verbosity == trainer::Verbosity::quiet,
                                             .no_color = trainer::wants_no_color()});
  return inputs;
}

int run_trainer(trainer::TrainerInputs inputs, distill::Task& task, trainer::Collective& collective) {
  const std::shared_ptr<trainer::Log> log = inputs.log;
  const fs::path run = inputs.run_folder;
  const std::int64_t last_step = inputs.config.train.max_steps;
  trainer::Trainer trainer(std::move(inputs), task, collective);
  if (trainer.run() == trainer::Outcome::stopped) {
    return kRunAgain;
  }
  trainer::on_rank_0(
      [&] {
        write_finished(run, {last_step, quant::parameter_hash(task.model())});
      },
      collective);
  log->info("finished: " + run.string());
  return kDone;
}

// The sources, and the configuration as the options change it by what they are.
TrainingSources load_and_check(trainer::RunConfig& config, const TrainingOptions& options,
                               trainer::Collective& collective) {
  trainer::check_config(config, collective.size(), options.use);
  TrainingSources sources = load_training_sources(config);
  record_tokenizer_geometry(config, sources);
  if (options.check_sources) {
    options.check_sources(config, sources, collective);
  }
  if (options.amend_config) {
    options.amend_config(config, sources, collective);
  }
  return sources;
}

int train_on(trainer::Collective& collective, trainer::RunConfig config, const TrainingOptions& options) {
  trainer::Log log(collective.rank(), options.verbosity);
  const TrainingSources sources = load_and_check(config, options, collective);
  const std::string identity = run_identity(config, sources);
  trainer::require_same_yaml(trainer::write_config(config), "the configuration", collective);
  trainer::require_same_yaml(identity, "the identity of the run (configuration and hashes of its sources)",
                             collective);
  RunLock lock;  // until the process leaves
  if (!options.dry_run) {
    lock_run_folder(config, collective, lock);
  }
  const std::optional<Resume> resume = find_resume(config, identity, options.resume, log);
  if (is_done(config, resume)) {
    log.info(
        fmt::format("{} is finished at step {}: nothing to do", run_path(config).string(), resume->step()));
    return kDone;
  }
  distill::TaskInputs inputs = task_inputs(config, sources);
  inputs.resume = resume.has_value();
  inputs.step = resume ? resume->step() : 0;
  const distill::MadeTask made = distill::make_task(inputs);
  if (options.dry_run) {
    log_start(log, config, made, resume, collective.size());
    log.info("dry run: everything was checked, nothing was written");
    return kDone;
  }
  trainer::TrainerInputs trainer_inputs =
      claim_inputs(config, sources, identity, options, {collective, lock});
  if (resume) {
    trainer_inputs.resume_from = trainer::read_checkpoint(resume->checkpoint, {""}, resume->parts);
  }
  log_start(*trainer_inputs.log, config, made, resume, collective.size());
  if (options.before_first_step && !inputs.resume) {
    options.before_first_step({config, sources, *made.task, collective, *trainer_inputs.log});
  }
  return run_trainer(std::move(trainer_inputs), *made.task, collective);
}

}  // namespace

int train(trainer::RunConfig config, const TrainingOptions& options) {
  return run_on_ranks(config.parallel,
                      [&](trainer::Collective& collective) { return train_on(collective, config, options); });
}

}  // namespace bitlaw::launch
