// What a run keeps beside its checkpoints (conventions: config.yaml, env.json, cmd.txt, finished), and the
// rule that a folder belongs to one run.
//
// Rank 0 alone calls the functions that write, but for claim_for_ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "launch/run_lock.h"
#include "trainer/comm/collective.h"
#include "trainer/config/run_config.h"

namespace bitlaw::launch {

std::filesystem::path run_path(const trainer::RunConfig& config);  // run.dir / run.name

// `identity`: what decides the run's bits, as YAML: identity_yaml of its configuration and the content hashes
// of what it starts from. Makes the folder, or checks that the one that is there is this run's: InputError
// that names the keys that differ. Writes identity.yaml, config.yaml, env.json and cmd.txt, and takes back a
// mark `finished` of fewer steps. Takes `lock` before it writes, unless it is held. Returns the incarnation
// number of this start (1, 2, ...).
std::int64_t claim_run_folder(const trainer::RunConfig& config, const std::string& identity, int ranks,
                              RunLock& lock);

// The same for all ranks: rank 0 touches the folder, the others learn the number and wait until it is done.
// Every rank throws rank 0's InputError.
std::int64_t claim_for_ranks(const trainer::RunConfig& config, const std::string& identity,
                             trainer::Collective& collective, RunLock& lock);
// Takes the lock of a run that is there: before anything is read that another start may be writing. Every
// rank calls it, rank 0 gets it; InputError, on every rank, when another start has it.
void lock_run_folder(const trainer::RunConfig& config, trainer::Collective& collective, RunLock& lock);

struct FinishedMark {
  std::int64_t step = 0;
  std::string parameter_hash;
};
// Nothing where there is no mark, or none that write_finished could have written.
std::optional<FinishedMark> read_finished(const std::filesystem::path& run);
void write_finished(const std::filesystem::path& run, const FinishedMark& mark);

}  // namespace bitlaw::launch
