// Checkpoints that survive anything.
//
//   checkpoints/step-00001000/{rank-00000-of-00002.h5, ..., manifest.json, COMMITTED}     latest -> step-...
// Whatever the number of ranks, rank r writes the r-th 1/n of each logical tensor (flattened); a checkpoint
// is read at any world size. A folder without COMMITTED is ignored. Saving is asynchronous: the only pause is
// a copy of this rank's share.
//
// Order of a commit: every rank writes and flushes its part in step-N.tmp-<incarnation>; when all have
// reported, rank 0 writes the manifest (sizes and checksums) and the marker (checksum of the manifest),
// flushes, renames the folder, flushes its parent, swaps `latest`, and only then deletes older checkpoints.
// So a crash at any point leaves the previous checkpoint whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

// All members are collective: every rank calls them in the same order, from one thread.
//
// A save that fails (disk full, read-only) is reported and given up; the previous checkpoint stays. After
// three failures in a row, and when the last save cannot be made in finish(), all ranks throw InputError.
class CheckpointWriter {
 public:
  struct Options {
    std::filesystem::path folder;  // runs/<name>/checkpoints; made when it is missing
    std::int64_t keep_last = 2;
    std::int64_t keep_every = 0;  // steps; 0: no further ones
    bool asynchronous = true;
    // Number of this start of the run, rising. It is kept in <folder>/../incarnation: ranks left over from an
    // earlier start cannot commit once a later one has written its number there.
    std::int64_t incarnation = 0;
    // Called on rank 0, in the calling thread, with what a person should know (a save failed). May be empty.
    std::function<void(const std::string& message)> report = {};
  };
  // Removes unfinished folders of earlier starts. InputError when the folder cannot be made or belongs to a
  // later start.
  CheckpointWriter(const Options& options, Collective& collective);
  // Waits until this rank's thread has nothing to write; commits nothing.
  ~CheckpointWriter();

  // Takes memory for the copies in advance, so that not even the first save waits for fresh pages. Optional.
  void reserve(const CheckpointState& state);
  // Copies and returns (asynchronous), or writes and commits. Every rank calls it with the same replicated
  // tensors. Waits for a save that is still under way.
  void save(const CheckpointState& state);
  // save() in two steps: begin() copies and begins to write, whatever state.texts says; confirm() gives the
  // texts, and only then is the checkpoint committed. Between the two nothing but poll() may be called.
  void begin(const CheckpointState& state);
  void confirm(const std::map<std::string, std::string>& texts);
  // Called by every rank at the same step: moves a save forward, never waits for a disk. One small all-reduce
  // while a save is under way, nothing otherwise.
  void poll();
  // Blocks until the last save is committed; tries again when writing fails.
  void finish();
  double last_pause_seconds() const;  // of save() or begin(): waiting for the one before, and the copy

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
// The same, but only tensors whose name begins with one of `prefixes`: what a teacher or an export needs of a
// checkpoint is a fraction of it. `parts`: verified when newest_whole_checkpoint has just read them all; the
// checksums of the tensors are looked at in any case.
enum class Parts { to_verify, verified };
CheckpointState read_checkpoint(const std::filesystem::path& checkpoint,
                                const std::vector<std::string>& prefixes, Parts parts = Parts::to_verify);
// The texts alone (from manifest.json), without reading a tensor.
std::map<std::string, std::string> read_checkpoint_texts(const std::filesystem::path& checkpoint);

struct NewestCheckpoint {
  std::optional<std::filesystem::path> path;  // absent: the folder holds no committed checkpoint
  std::vector<std::string> skipped;           // what was passed over, and why: for the log
};
// The newest checkpoint whose manifest and parts are all there and undamaged: where `--resume auto` goes on.
// InputError when there are committed checkpoints and not one of them is whole: starting again would
// silently throw the run away.
NewestCheckpoint newest_whole_checkpoint(const std::filesystem::path& folder);

}  // namespace bitlaw::trainer
