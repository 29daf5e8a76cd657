// The training loop: moves any Task forward on many ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "data/dataset.h"
#include "distill/not_finite_error.h"
#include "distill/task.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"
#include "trainer/log.h"
#include "trainer/progress.h"
#include "trainer/stop_signal.h"

namespace bitlaw::trainer {

enum class Outcome { finished, stopped };  // stopped: saved on a signal or at stop_at; run me again

// The numbers of a step are not finite: names step, term, rank and sample ids, or the parameters whose
// gradient it is; nothing was updated. Or the figures of an evaluation: names them and the step. The same
// message on all ranks.
using NotFiniteError = distill::NotFiniteError;

struct TrainerInputs {
  RunConfig config;
  std::filesystem::path run_folder;          // exists, is ours
  std::string identity;                      // what may not change on resume
  std::map<std::string, std::string> texts;  // further texts that every checkpoint carries (num_classes, ...)
  std::shared_ptr<const data::Dataset> train;
  std::shared_ptr<const data::Dataset> validation;
  std::optional<CheckpointState> resume_from;
  std::int64_t incarnation = 0;
  std::int64_t stop_at = -1;                             // save and leave at this step; -1: no
  std::shared_ptr<Log> log;                              // null: silent
  ProgressStyle progress = ProgressStyle::none;          // drawn on stderr
  std::function<bool()> asked_to_stop = stop_requested;  // this rank's wish; polled between micro batches
};

// What must be equal on all ranks is not: names the tensors and ranks. Nothing was saved.
class DivergedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Trainer {
 public:
  // Compares the ranks, and loads resume_from. InputError: a checkpoint of another identity, model or
  // optimiser, a schedule that would have been another one up to the resumed step. DivergedError.
  Trainer(TrainerInputs inputs, distill::Task& task, Collective& collective);
  ~Trainer();
  // Steps until max_steps, a signal or stop_at; evaluates, logs and saves on the way. Writes metrics.jsonl
  // and, for each evaluation, eval/step-00000040.json into the run folder; at the end it saves, then
  // evaluates. NotFiniteError, CommError, DivergedError.
  Outcome run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::trainer
