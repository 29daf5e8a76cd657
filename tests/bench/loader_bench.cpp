// Samples a second of data sets and loaders, and the share of a step that is spent waiting for data.
//
// usage: loader_bench [FOLDER]   shards are made in FOLDER (default: the system's temporary folder)
// Two data sets of 60,000 samples: 130 tokens of 256 codes, and 32 x 32 grey images, as in the quickstart;
// one of 2,000 RGB images of 256 x 256. The waiting share is measured against a caller that computes for
// 20 ms between batches (the quickstart's step takes longer), on the caller's own processor.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "data/loader.h"
#include "data/seed.h"
#include "data/shard_dataset.h"
#include "data/shard_writer.h"

namespace {

using namespace bitlaw::data;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

ShardManifest description(const std::string& kind, std::int64_t samples, std::vector<std::int64_t> shape) {
  ShardManifest manifest;
  manifest.kind = kind;
  manifest.samples = samples;
  manifest.num_classes = 10;
  manifest.shape = std::move(shape);
  manifest.source = "loader_bench";
  if (kind == "tokens") manifest.vocab_size = 256;
  return manifest;
}

std::filesystem::path make_shards(const std::filesystem::path& out, const ShardManifest& manifest) {
  ShardWriter writer(out, manifest, default_samples_per_shard(manifest));
  for (std::int64_t shard = 0; shard < writer.shard_count(); ++shard) {
    const auto count = static_cast<std::size_t>(writer.samples_of(shard));
    std::vector<std::byte> bytes(count * sample_bytes(manifest));
    const RandomKey key{1, Purpose::synthetic, 0, static_cast<std::uint64_t>(shard)};
    for (std::size_t i = 0; i < bytes.size(); i += 4) {
      const auto words = philox(key, i);
      for (std::size_t b = 0; b < 4 && i + b < bytes.size(); ++b) {
        bytes[i + b] = static_cast<std::byte>(words[b] & 0xFFU);
      }
    }
    writer.write(shard, bytes, std::vector<std::int32_t>(count, 3));
  }
  writer.commit();
  return out;
}

// Samples a second of `read` in batches of 32 in the order of a permutation.
double random_read_rate(const Dataset& dataset, std::int64_t samples) {
  const auto size = static_cast<std::uint64_t>(dataset.info().size);
  const Permutation order(size, 1, 0);
  const auto start = Clock::now();
  std::vector<std::int64_t> indices(32);
  for (std::int64_t done = 0; done < samples; done += 32) {
    for (std::size_t i = 0; i < 32; ++i) {
      indices[i] = static_cast<std::int64_t>(order((static_cast<std::uint64_t>(done) + i) % size));
    }
    dataset.read(indices);
  }
  return static_cast<double>(samples) / seconds_since(start);
}

double sequential_read_rate(const Dataset& dataset, std::int64_t samples) {
  const auto start = Clock::now();
  std::vector<std::int64_t> indices(100);
  for (std::int64_t done = 0; done < samples; done += 100) {
    std::iota(indices.begin(), indices.end(), done % (dataset.info().size - 100));
    dataset.read(indices);
  }
  return static_cast<double>(samples) / seconds_since(start);
}

LoaderOptions loader_options(int workers, bool augment) {
  LoaderOptions options;
  options.global_batch_size = 32;
  options.micro_batch_size = 32;
  options.workers = workers;
  options.seed = 1;
  options.flip = augment;
  options.crop_padding = augment ? 4 : 0;
  return options;
}

double loader_rate(const std::shared_ptr<const Dataset>& dataset, const LoaderOptions& options,
                   std::int64_t steps) {
  Loader loader(dataset, options);
  loader.batch_at(0, 0);
  const auto start = Clock::now();
  for (std::int64_t step = 1; step <= steps; ++step) loader.batch_at(step, 0);
  return 32.0 * static_cast<double>(steps) / seconds_since(start);
}

// Share of the time that is waiting, when the caller computes for 20 ms a step.
double wait_share(const std::shared_ptr<const Dataset>& dataset, const LoaderOptions& options) {
  Loader loader(dataset, options);
  loader.batch_at(0, 0);
  const double before = loader.wait_seconds();
  const auto start = Clock::now();
  for (std::int64_t step = 1; step <= 100; ++step) {
    const auto computing = Clock::now();
    while (seconds_since(computing) < 0.02) {
    }
    loader.batch_at(step, 0);
  }
  return (loader.wait_seconds() - before) / seconds_since(start);
}

void measure(const char* name, const std::filesystem::path& folder, std::int64_t samples) {
  const auto start = Clock::now();
  const auto dataset = std::make_shared<const ShardDataset>(folder);
  std::printf("%s\n  open and verify            %10.1f ms\n", name, 1e3 * seconds_since(start));
  random_read_rate(*dataset, samples);  // every index of a shard is read once
  std::printf("  read, random               %10.0f samples/s\n", random_read_rate(*dataset, samples));
  std::printf("  read, consecutive          %10.0f samples/s\n", sequential_read_rate(*dataset, samples));
  for (const int workers : {0, 1, 2}) {
    const LoaderOptions options = loader_options(workers, false);
    std::printf("  loader, %d workers          %10.0f samples/s, waits %.3f %% of 20 ms steps\n", workers,
                loader_rate(dataset, options, samples / 32), 100.0 * wait_share(dataset, options));
  }
  if (dataset->info().kind == "images") {
    std::printf("  loader, 1 worker, flip+crop %9.0f samples/s\n",
                loader_rate(dataset, loader_options(1, true), samples / 32));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path base =
      argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path();
  const std::filesystem::path work = base / "bitlaw-loader-bench";
  std::filesystem::remove_all(work);
  std::printf("%u processors\n", std::thread::hardware_concurrency());
  measure("60,000 x 130 tokens", make_shards(work / "tokens", description("tokens", 60000, {130})), 60000);
  measure("60,000 images 1 x 32 x 32", make_shards(work / "grey", description("images", 60000, {1, 32, 32})),
          60000);
  measure("2,000 images 3 x 256 x 256", make_shards(work / "rgb", description("images", 2000, {3, 256, 256})),
          2000);
  std::filesystem::remove_all(work);
  return 0;
}
