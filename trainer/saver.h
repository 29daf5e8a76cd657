// The saves of a run: a copy as the only pause, and a proof that all ranks hold the same numbers before
// anything is committed.
//
// The hashes of a save are made by a thread, of the live tensors, which do not change before the next update:
// the trainer calls confirm() before it makes one. Only then may the checkpoint be committed. All members are
// collective: every rank calls them in the same order, from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "trainer/checkpoint.h"
#include "trainer/checkpoint/background_task.h"
#include "trainer/comm/collective.h"
#include "trainer/run_state.h"
#include "trainer/trainer.h"

namespace bitlaw::trainer {

class Saver {
 public:
  // Compares the ranks' tensors at `step` (DivergedError) and sets later checkpoints of the run aside when it
  // was resumed. `inputs` must outlive the saver. `report`: called on rank 0, in the calling thread, with
  // what a person should know.
  Saver(const TrainerInputs& inputs, const LiveState& live, std::int64_t step, Collective& collective,
        std::function<void(const std::string&)> report);

  // Copies the state of `step`, and begins to hash and to write it. Does nothing when it is saved already.
  void save(const LiveState& live, std::int64_t step);
  // Waits for the hashes of the last save, compares them over ranks (DivergedError: nothing is committed) and
  // lets it be committed. The tensors must still be those of that step.
  void confirm();
  void poll();    // see CheckpointWriter
  void finish();  // confirms, and waits until the last save is committed
  std::int64_t saved_step() const { return saved_step_; }
  // Seconds that save() and confirm() held up the run since the last call.
  double take_pause();
  double last_copy_seconds() const { return writer_.last_pause_seconds(); }

 private:
  struct Hashes {
    TensorHashes of_tensors;
    std::string parameter_hash;
  };

  bool is_ours(const CheckpointState& state) const;
  void set_aside(std::int64_t step);

  const TrainerInputs& inputs_;
  Collective& collective_;
  std::function<void(const std::string&)> report_;
  CheckpointWriter writer_;
  std::int64_t saved_step_ = -1;  // newest step in the run's folder; -1: none
  double pause_ = 0.0;
  bool confirmed_ = true;
  Hashes hashes_;        // of saved_step_, when the thread is done
  BackgroundTask task_;  // last: its thread uses what stands above
};

}  // namespace bitlaw::trainer
