// What every import does once it knows its samples: all shards, by several threads. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/formats/shard_manifest.h"
#include "data/import/import.h"

namespace bitlaw::data {

// Writes the bytes of sample `index` into `into` and returns its label. Called by several threads.
using MakeSample = std::function<std::int32_t(std::int64_t index, std::span<std::byte> into)>;

// Errors of single samples are collected: up to ten InputErrors become one. ImportStopped when told so.
ShardManifest write_shards(const ImportOptions& options, const ShardManifest& description,
                           const MakeSample& make_sample);

// body(0) .. body(count - 1) on `threads` threads; the first exception is thrown when all have ended.
void for_each_in_parallel(std::int64_t count, int threads, const std::function<void(std::int64_t)>& body);

}  // namespace bitlaw::data
