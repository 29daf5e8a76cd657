// The training loop: moves any Task forward on many ranks.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "distill/task.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

enum class Outcome { finished, stopped };  // stopped: saved on a signal or at stop_at; run me again

// The numbers are not finite. The program ends with code 3.
class NotFiniteError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct TrainerInputs {
  RunConfig config;
  std::filesystem::path run_folder;          // exists, is ours
  std::string identity;                      // what may not change on resume
  std::map<std::string, std::string> texts;  // further texts that every checkpoint carries (num_classes, ...)
  std::shared_ptr<const data::Dataset> train;
  std::shared_ptr<const data::Dataset> validation;
  std::optional<CheckpointState> resume_from;
  std::int64_t incarnation = 0;
  std::int64_t stop_at = -1;  // save and leave at this step; -1: no
};

class Trainer {
 public:
  Trainer(TrainerInputs inputs, distill::Task& task, Collective& collective);
  ~Trainer();
  // Steps until max_steps, a signal or stop_at; evaluates, logs and saves on the way. NotFiniteError,
  // CommError.
  Outcome run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::trainer
