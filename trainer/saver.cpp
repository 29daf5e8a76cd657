#include "trainer/saver.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "data/formats/input_error.h"
#include "data/formats/tensor_io.h"
#include "quant/containers/model_state.h"
#include "trainer/agreement.h"
#include "trainer/checkpoint/commit.h"
#include "trainer/elapsed.h"

namespace bitlaw::trainer {

namespace {

using Clock = std::chrono::steady_clock;

CheckpointWriter::Options writer_options(const TrainerInputs& inputs,
                                         std::function<void(const std::string&)> report) {
  CheckpointWriter::Options options;
  options.folder = inputs.run_folder / "checkpoints";
  options.keep_last = inputs.config.checkpoint.keep_last;
  options.keep_every = inputs.config.checkpoint.keep_every;
  options.asynchronous = inputs.config.checkpoint.async;
  options.incarnation = inputs.incarnation;
  options.report = std::move(report);
  return options;
}

}  // namespace

Saver::Saver(const TrainerInputs& inputs, const LiveState& live, std::int64_t step, Collective& collective,
             std::function<void(const std::string&)> report)
    : inputs_(inputs),
      collective_(collective),
      report_(std::move(report)),
      writer_(writer_options(inputs, report_), collective) {
  CheckpointState state;
  state.tensors = checkpoint_tensors(live);
  require_equal_on_all_ranks(hash_each(state.tensors), step, collective);
  writer_.reserve(state);
  if (inputs.resume_from) {
    set_aside(step);
    if (decision_of_rank_0(is_ours(*inputs.resume_from), collective)) {
      saved_step_ = step;
    }
  }
}

// Whether the run's own folder holds this very state: it may have come from another run.
bool Saver::is_ours(const CheckpointState& state) const {
  const auto folder = inputs_.run_folder / "checkpoints";
  const auto steps = committed_steps(folder);
  const auto hash = state.texts.find("state_hash");
  if (hash == state.texts.end() || std::find(steps.begin(), steps.end(), state.step) == steps.end()) {
    return false;
  }
  const auto texts = read_checkpoint_texts(checkpoint_path(folder, state.step));
  const auto own = texts.find("state_hash");
  return own != texts.end() && own->second == hash->second;
}

void Saver::set_aside(std::int64_t step) {
  std::string problem;
  if (collective_.rank() == 0) {
    try {
      for (const auto& path :
           set_aside_later(inputs_.run_folder / "checkpoints", step, inputs_.incarnation)) {
        report_("going on from step " + std::to_string(step) + ": a later checkpoint is kept as " +
                path.string());
      }
    } catch (const data::InputError& error) {
      problem = error.what();
    }
  }
  if (const std::string message = first_message(problem, collective_); !message.empty()) {
    throw data::InputError(message);
  }
}

void Saver::save(const LiveState& live, std::int64_t step) {
  if (saved_step_ == step) {
    return;
  }
  confirm();
  const auto start = Clock::now();
  CheckpointState state;
  state.step = step;
  state.tensors = checkpoint_tensors(live);
  writer_.begin(state);
  saved_step_ = step;
  confirmed_ = false;
  task_.start([this, tensors = std::move(state.tensors),
               deployed = quant::state_of(live.model, quant::StateScope::deployed)] {
    hashes_ = {hash_each(tensors), data::hash_tensors(deployed).hex()};
  });
  pause_ += seconds_since(start);
}

void Saver::confirm() {
  if (confirmed_) {
    return;
  }
  const auto start = Clock::now();
  while (!task_.wait_for(std::chrono::seconds(1))) {
  }
  if (const std::exception_ptr error = task_.error()) {
    std::rethrow_exception(error);
  }
  require_equal_on_all_ranks(hashes_.of_tensors, saved_step_, collective_);
  confirmed_ = true;
  writer_.confirm(checkpoint_texts(inputs_, {saved_step_, collective_.size(), hashes_.parameter_hash,
                                             state_hash(hashes_.of_tensors, saved_step_)}));
  pause_ += seconds_since(start);
}

void Saver::poll() {
  writer_.poll();
}

void Saver::finish() {
  confirm();
  writer_.finish();
}

double Saver::take_pause() {
  return std::exchange(pause_, 0.0);
}

}  // namespace bitlaw::trainer
