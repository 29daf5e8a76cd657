// The steps that make a checkpoint of written parts, on one rank; and which start of a run may do so.
// Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/formats/input_error.h"
#include "trainer/checkpoint/manifest.h"

namespace bitlaw::trainer {

// A later start of the run has taken over its folder: this process must leave.
class SupersededError : public data::InputError {
 public:
  using data::InputError::InputError;
};

// The number of a new start of the run: one more than the newest, written to <run_folder>/incarnation. Two
// starts at one moment get different numbers (the folder is locked meanwhile).
std::int64_t take_incarnation(const std::filesystem::path& run_folder);

// <folder>/../incarnation holds the number of the newest start. Writes `incarnation` there when it is higher.
void claim_incarnation(const std::filesystem::path& folder, std::int64_t incarnation);  // SupersededError
void check_incarnation(const std::filesystem::path& folder, std::int64_t incarnation);  // SupersededError

// Manifest, marker, rename, `latest`. The parts lie flushed in building_folder(folder, step, incarnation).
// A checkpoint of the same step that is there already is exchanged in one operation. InputError.
void commit_checkpoint(const std::filesystem::path& folder, const Manifest& manifest);

// Deletes committed checkpoints up to `newest` that are neither among the last `keep_last` nor at multiples
// of `keep_every` (0: none); those of later steps are left alone. What cannot be deleted stays.
struct Retention {
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
};
void prune_checkpoints(const std::filesystem::path& folder, std::int64_t newest, const Retention& retention,
                       std::int64_t incarnation);

// A run that goes on from `step` will make the later steps again: their checkpoints are renamed to
// left-<incarnation>-step-..., so that nobody takes them for the newest. InputError. Returns the new names.
std::vector<std::filesystem::path> set_aside_later(const std::filesystem::path& folder, std::int64_t step,
                                                   std::int64_t incarnation);

// Removes building folders that starts up to `incarnation` have left behind.
void remove_unfinished(const std::filesystem::path& folder, std::int64_t incarnation);

}  // namespace bitlaw::trainer
