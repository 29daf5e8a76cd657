// What a run keeps beside its checkpoints (conventions: config.yaml, env.json, cmd.txt, finished), and the
// rule that a folder belongs to one run.
//
// Rank 0 alone calls the functions that write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "trainer/config/run_config.h"

namespace bitlaw::launch {

std::filesystem::path run_path(const trainer::RunConfig& config);  // run.dir / run.name

// `identity`: what decides the run's bits, as YAML: identity_yaml of its configuration and the content hashes
// of what it starts from. Makes the folder, or checks that the one that is there is this run's: InputError
// that names the keys that differ. Writes identity.yaml, config.yaml, env.json and cmd.txt, and takes back a
// mark `finished` of fewer steps. Returns the incarnation number of this start (1, 2, ...).
std::int64_t claim_run_folder(const trainer::RunConfig& config, const std::string& identity, int ranks);

struct FinishedMark {
  std::int64_t step = 0;
  std::string parameter_hash;
};
std::optional<FinishedMark> read_finished(const std::filesystem::path& run);
void write_finished(const std::filesystem::path& run, const FinishedMark& mark);

}  // namespace bitlaw::launch
