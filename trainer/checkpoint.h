// Checkpoints that survive anything: docs/formats.md has the layout and the order of a commit.
//
//   checkpoints/step-00001000/{rank-00000-of-00002.h5, ..., manifest.json, COMMITTED}     latest -> step-...
// Whatever the number of ranks, rank r writes the r-th 1/n of each logical tensor (flattened); a checkpoint
// is read at any world size. A folder without COMMITTED is ignored. Saving is asynchronous: the only pause is
// a copy of the tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

struct CheckpointState {
  std::int64_t step = 0;
  std::map<std::string, at::Tensor> tensors;  // "model/<name>", "ema/<name>", "exp_avg/<name>", ...; CPU
  std::map<std::string, std::string>
      texts;  // "config" (YAML), "identity", "parameter_hash", "state_hash", ...
};

class CheckpointWriter {
 public:
  struct Options {
    std::filesystem::path folder;  // runs/<name>/checkpoints
    std::int64_t keep_last = 2;
    std::int64_t keep_every = 0;  // steps; 0: no further ones
    bool asynchronous = true;
    std::int64_t incarnation = 0;  // of this start of the run; ranks of an earlier start cannot commit
  };
  CheckpointWriter(const Options& options, Collective& collective);
  ~CheckpointWriter();  // waits for a save under way

  // Copies and returns (asynchronous), or writes and commits. Every rank calls it with the same replicated
  // tensors.
  void save(const CheckpointState& state);
  // Called by every rank at the same step: commits what all ranks have finished writing, without blocking.
  void poll();
  void finish();  // blocks until the last save is committed
  double last_pause_seconds() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Steps of committed checkpoints, ascending. Uncommitted folders are listed in `ignored`.
std::vector<std::int64_t> committed_steps(const std::filesystem::path& folder,
                                          std::vector<std::string>* ignored = nullptr);
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step);
// Whole tensors; InputError for a missing marker, a damaged or missing part.
CheckpointState read_checkpoint(const std::filesystem::path& checkpoint);
// The texts alone (from manifest.json), without reading a tensor.
std::map<std::string, std::string> read_checkpoint_texts(const std::filesystem::path& checkpoint);

}  // namespace bitlaw::trainer
