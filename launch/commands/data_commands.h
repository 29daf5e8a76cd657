// The parts of 'bitlaw data'.
#pragma once

#include <string>

#include "data/formats/shard_manifest.h"
#include "launch/commands/command.h"

namespace bitlaw::launch {

void add_data_import(CLI::App& data, Action& action);
void add_data_tokenize(CLI::App& data, Action& action);
void add_data_inspect(CLI::App& data, Action& action);
void add_data_verify(CLI::App& data, Action& action);

// "60000 images of [1, 32, 32], 10 classes, 30 shards"
std::string summary_of(const data::ShardManifest& manifest);
// The line that ends an import: what is in `out` now, or that it was there already.
void print_made(const std::string& out, const data::ShardManifest& manifest, bool already_made);

}  // namespace bitlaw::launch
