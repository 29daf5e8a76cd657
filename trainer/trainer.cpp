#include "trainer/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "data/formats/input_error.h"
#include "data/loader.h"
#include "trainer/agreement.h"
#include "trainer/autocast.h"
#include "trainer/elapsed.h"
#include "trainer/ema.h"
#include "trainer/eval_record.h"
#include "trainer/evaluate.h"
#include "trainer/grad_reducer.h"
#include "trainer/loader_options.h"
#include "trainer/loss_watch.h"
#include "trainer/optimizer.h"
#include "trainer/run_state.h"
#include "trainer/saver.h"
#include "trainer/schedule.h"
#include "trainer/statistics_reduction.h"
#include "trainer/step_report.h"
#include "trainer/stop_vote.h"

namespace bitlaw::trainer {

namespace {

std::int64_t bucket_bytes(const RunConfig& config) {
  constexpr double kMebi = 1024.0 * 1024.0;
  return static_cast<std::int64_t>(config.parallel.bucket_mb * kMebi);
}

bool is_due(std::int64_t step, std::int64_t interval) {
  return interval > 0 && step % interval == 0;
}

}  // namespace

struct Trainer::Impl {
  TrainerInputs in;
  distill::Task& task;
  Collective& collective;
  std::vector<distill::NamedParameter> parameters;
  data::Loader loader;
  GradReducer reducer;
  AdamW optimizer;
  std::optional<Ema> ema;
  std::optional<Saver> saver;
  StepReport report;
  std::optional<StepLog> step_log;  // rank 0
  Progress progress;
  std::int64_t step = 0;  // updates made

  Impl(TrainerInputs inputs, distill::Task& t, Collective& c)
      : in(std::move(inputs)),
        task(t),
        collective(c),
        parameters(t.parameters()),
        loader(in.train, loader_options(in.config, c)),
        reducer(parameters, c, bucket_bytes(in.config)),
        optimizer(parameters, in.config.optim),
        report(c),
        progress(stderr, in.progress, in.config.train.max_steps) {
    if (in.config.train.ema_decay > 0.0) {
      ema.emplace(task.model(), in.config.train.ema_decay);
    }
    if (in.resume_from) {
      LiveState restored = live();
      restore(*in.resume_from, in, restored);
      step = in.resume_from->step;
    }
    saver.emplace(in, live(), step, collective, [this](const std::string& text) { say(text, &Log::warn); });
    in.resume_from.reset();
    if (collective.rank() == 0) {
      step_log.emplace(in.run_folder / "metrics.jsonl", step);
    }
  }

  LiveState live() { return {task.model(), optimizer, ema ? &*ema : nullptr}; }

  Outcome run() {
    try {
      return train();
    } catch (const StopRequested&) {  // out of an evaluation: the state is that of `step`
      return leave();
    } catch (const NotFiniteError&) {  // all ranks are here: what led to it is kept
      write_report();
      saver->finish();
      throw;
    }
  }

  Outcome train() {
    if (someone_asks_to_stop()) {
      return leave();
    }
    if (evaluation_was_missed()) {
      validate();
    }
    task.model().train();
    while (step < in.config.train.max_steps) {
      if ((in.stop_at >= 0 && step >= in.stop_at) || make_step()) {
        return leave();
      }
      saver->poll();
      if (is_due(step, in.config.log.interval)) {
        write_report();
      }
      if (step == in.config.train.max_steps) {
        break;
      }
      if (is_due(step, in.config.checkpoint.interval)) {
        save();
      }
      if (is_due(step, in.config.eval.interval)) {
        validate();
      }
    }
    save();
    saver->finish();
    validate();
    return Outcome::finished;
  }

  // One optimiser step. True: a rank was asked to stop; the state is whole either way.
  bool make_step() {
    const auto start = std::chrono::steady_clock::now();
    const double loader_before = loader.wait_seconds();
    const double comm_before = reducer.wait_seconds();
    LossWatch watch;
    if (accumulate_gradients(watch)) {
      return true;
    }
    const StepFlags flags = reducer.finish({in.asked_to_stop(), !watch.all_finite()});
    saver->confirm();  // the last save hashes what the update changes
    const double norm = reducer.norm();
    if (flags.not_finite || !std::isfinite(norm)) {
      throw_not_finite(step, watch.complaint(), norm, parameters, collective);
    }
    const double factor = lr_factor(in.config.schedule, in.config.train.max_steps, step);
    optimizer.update(step, factor, clip_factor(norm, in.config.optim.grad_clip));
    task.end_step(reduce_statistics(task.take_statistics(), collective), step);
    if (ema) {
      ema->update();
    }
    ++step;
    begin_step();
    StepRecord record;
    record.of_rank = watch.means();
    record.of_all = {{"lr", in.config.optim.lr * factor}, {"grad_norm", norm}};
    record.data_wait = loader.wait_seconds() - loader_before;
    record.comm_wait = reducer.wait_seconds() - comm_before;
    record.seconds = seconds_since(start);
    add_record(std::move(record));
    return flags.stop;
  }

  void begin_step() {
    const distill::Restart restart = task.begin_step(step);
    if (!restart.names.empty()) {
      LiveState state = live();
      begin_anew(restart.names, step, state);
      say("step " + std::to_string(step) + ": " + restart.text);
    }
  }

  // Forward and backward of every micro batch; the reduction begins within the last backward. True: given up
  // between micro batches, because a rank was asked to stop.
  bool accumulate_gradients(LossWatch& watch) {
    reducer.clear();
    StopVote vote(collective);
    const std::int64_t micro_batches = loader.micro_batches();
    for (std::int64_t micro = 0; micro < micro_batches; ++micro) {
      if (micro_batches > 1 && vote.next(in.asked_to_stop())) {
        task.take_statistics();  // of a step that will be made again
        return true;
      }
      const data::Batch batch = loader.batch_at(step, micro);
      const distill::LossTerms loss = forward(batch);
      watch.add(loss, batch);
      if (micro + 1 == micro_batches) {
        reducer.arm(micro_batches);
      }
      loss.total.backward();
    }
    return false;
  }

  distill::LossTerms forward(const data::Batch& batch) {
    const Autocast autocast(in.config.train.precision);
    return task.loss(batch);
  }

  void add_record(StepRecord record) {
    record.step = step;
    record.samples_seen = step * in.config.train.global_batch_size;
    record.tokens = in.config.train.global_batch_size * task.tokens_per_sample();
    record.checkpoint_pause = saver->take_pause();
    progress.show(step, figures_text({record.of_rank.front(),
                                      {"tokens/s", static_cast<double>(record.tokens) / record.seconds}}));
    report.add(std::move(record));
  }

  void write_report() {
    const std::vector<StepLine> lines = report.collect();
    if (step_log) {
      warn_of(step_log->append(lines));
    }
    if (!lines.empty()) {
      say("step " + std::to_string(lines.back().step) + '/' + std::to_string(in.config.train.max_steps) +
          "  " + figures_text(lines.back().values));
    }
  }

  void save() {
    write_report();
    if (saver->saved_step() == step) {
      return;
    }
    saver->save(live(), step);
    say("step " + std::to_string(step) + ": saving a checkpoint, held up for " +
        short_number(1e3 * saver->last_copy_seconds()) + " ms");
  }

  Outcome leave() {
    save();
    saver->finish();
    say("step " + std::to_string(step) + ": stopped after saving");
    return Outcome::stopped;
  }

  void validate() {
    if (!in.validation) {
      return;
    }
    const quant::Statistics merged = evaluate(
        task, *in.validation, {in.config.eval, in.config.train.precision, in.asked_to_stop}, collective);
    const EvalRecord record{step, std::min(in.config.eval.samples, in.validation->info().size),
                            in.config.train.precision, task.report(merged)};
    if (collective.rank() == 0) {
      try {
        write_eval_record(in.run_folder, record);
      } catch (const data::InputError& error) {
        warn_of(error.what());
      }
    }
    say(record.to_string());
    require_finite(record.figures, "validation at step " + std::to_string(step));
  }

  // An earlier start was stopped after this step, and before or in its evaluation.
  bool evaluation_was_missed() {
    const bool due = in.validation && step > 0 && step < in.config.train.max_steps &&
                     is_due(step, in.config.eval.interval);
    return due &&
           decision_of_rank_0(!std::filesystem::exists(eval_record_path(in.run_folder, step)), collective);
  }

  // A record that cannot be written is no reason to lose the work that it is about.
  void warn_of(const std::string& problem) {
    if (!problem.empty()) {
      say(problem, &Log::warn);
    }
  }

  bool someone_asks_to_stop() {
    StopVote vote(collective);
    vote.next(in.asked_to_stop());
    return vote.next(false);
  }

  void say(const std::string& text, void (Log::*level)(const std::string&) = &Log::info) {
    if (in.log) {
      progress.clear();
      ((*in.log).*level)(text);
    }
  }
};

Trainer::Trainer(TrainerInputs inputs, distill::Task& task, Collective& collective)
    : impl_(std::make_unique<Impl>(std::move(inputs), task, collective)) {}

Trainer::~Trainer() = default;

Outcome Trainer::run() {
  return impl_->run();
}

}  // namespace bitlaw::trainer
