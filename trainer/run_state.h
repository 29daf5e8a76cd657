// Everything that a resumed run needs, as one CheckpointState: masters and buffers, moving averages, moments,
// step.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/formats/tensor_hash.h"
#include "distill/task.h"
#include "trainer/checkpoint.h"
#include "trainer/comm/collective.h"
#include "trainer/ema.h"
#include "trainer/optimizer.h"
#include "trainer/trainer.h"

namespace bitlaw::trainer {

// What a run carries from step to step. The objects are the trainer's.
struct LiveState {
  torch::nn::Module& model;
  AdamW& optimizer;
  Ema* ema = nullptr;  // null: none
};

// name -> tensor as in a checkpoint; the tensors are the live ones.
std::map<std::string, at::Tensor> checkpoint_tensors(const LiveState& live);

using TensorHashes = std::map<std::string, data::TensorHash>;  // by checkpoint name
TensorHashes hash_each(const std::map<std::string, at::Tensor>& tensors);
// Of all tensors under their checkpoint names, and the step.
std::string state_hash(const TensorHashes& hashes, std::int64_t step);

struct CheckpointFacts {
  std::int64_t step = 0;
  int world_size = 1;
  std::string parameter_hash;
  std::string state_hash;
};
// The texts of a checkpoint of `step`: inputs.texts, step, config, identity, samples_seen, world_size,
// parameter_hash (of the tensors that the forward depends on) and state_hash.
std::map<std::string, std::string> checkpoint_texts(const TrainerInputs& inputs,
                                                    const CheckpointFacts& facts);

// InputError, with `where` in front, when a checkpoint with these texts cannot be continued under `config`
// and `identity`: another identity, a schedule with other learning rates up to its step, fewer steps than it
// has made.
void require_same_run(const std::map<std::string, std::string>& texts, const RunConfig& config,
                      const std::string& identity, const std::string& where);

// InputError as require_same_run, or when the tensors of `from` do not fit.
void restore(const CheckpointState& from, const TrainerInputs& inputs, LiveState& live);

// When `step` updates have been made: the named parameters begin anew in the optimiser, averages of the named
// tensors become the present values.
void begin_anew(const std::vector<std::string>& names, std::int64_t step, LiveState& live);

// DivergedError, on every rank, when any tensor differs from rank 0's in a bit.
void require_equal_on_all_ranks(const TensorHashes& hashes, std::int64_t step, Collective& collective);

}  // namespace bitlaw::trainer
