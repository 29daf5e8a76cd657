#include "data/import/shard_job.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "data/formats/input_error.h"
#include "data/shard_writer.h"

namespace bitlaw::data {
namespace {

constexpr std::size_t kMostErrors = 10;

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  }
}

class ShardJob {
 public:
  ShardJob(const ImportOptions& options, const ShardManifest& description, const MakeSample& make_sample)
      : options_(options),
        description_(description),
        make_sample_(make_sample),
        writer_(options.out, description,
                options.samples_per_shard > 0 ? options.samples_per_shard
                                              : default_samples_per_shard(description)) {}

  ShardManifest run() {
    for_each_in_parallel(writer_.shard_count(), options_.threads,
                         [&](std::int64_t shard) { make_shard(shard); });
    if (!errors_.empty()) throw_errors();
    if (stop_) throw ImportStopped("import of " + options_.source.string() + " was stopped");
    return writer_.commit();
  }

 private:
  void make_shard(std::int64_t shard) {
    const std::size_t size = sample_bytes(description_);
    const auto count = static_cast<std::size_t>(writer_.samples_of(shard));
    std::vector<std::byte> samples(count * size);
    std::vector<std::int32_t> labels(count);
    for (std::size_t i = 0; i < count && !stop_; ++i) {
      const std::int64_t index = writer_.first_of(shard) + static_cast<std::int64_t>(i);
      try {
        labels[i] = make_sample_(index, std::span(samples).subspan(i * size, size));
      } catch (const InputError&) {
        remember(index);
      }
      if ((i + 1) % kReportEvery == 0 || i + 1 == count) report(i % kReportEvery + 1);
    }
    if (!stop_ && !has_errors()) writer_.write(shard, samples, labels);
  }

  void remember(std::int64_t index) {
    const std::lock_guard lock(mutex_);
    errors_.emplace(index, std::current_exception());
    if (errors_.size() >= kMostErrors) stop_ = true;
  }

  bool has_errors() {
    const std::lock_guard lock(mutex_);
    return !errors_.empty();
  }

  void report(std::size_t newly_done) {
    const std::lock_guard lock(mutex_);
    done_ += static_cast<std::int64_t>(newly_done);
    if (options_.progress && !options_.progress(done_, description_.samples)) stop_ = true;
  }

  [[noreturn]] void throw_errors() const {
    if (errors_.size() == 1) std::rethrow_exception(errors_.begin()->second);
    std::string list;
    for (const auto& [index, error] : errors_) list += "\n  " + message_of(error);
    throw InputError(options_.source.string() + ": " + std::to_string(errors_.size()) +
                         (stop_ ? " or more" : "") + " samples cannot be imported",
                     "a data set must not lose samples silently", "replace or remove them:" + list);
  }

  static constexpr std::size_t kReportEvery = 64;
  const ImportOptions& options_;
  const ShardManifest& description_;
  const MakeSample& make_sample_;
  ShardWriter writer_;
  std::mutex mutex_;
  std::map<std::int64_t, std::exception_ptr> errors_;  // by sample
  std::int64_t done_ = 0;
  std::atomic<bool> stop_ = false;
};

}  // namespace

void for_each_in_parallel(std::int64_t count, int threads, const std::function<void(std::int64_t)>& body) {
  const auto wanted = static_cast<std::int64_t>(
      threads > 0 ? static_cast<unsigned>(threads) : std::max(1U, std::thread::hardware_concurrency()));
  std::atomic<std::int64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr first_error;
  const auto work = [&] {
    try {
      for (std::int64_t i = next++; i < count; i = next++) body(i);
    } catch (...) {
      next = count;  // the others end after what they have begun
      const std::lock_guard lock(mutex);
      if (!first_error) first_error = std::current_exception();
    }
  };
  std::vector<std::thread> pool;
  for (std::int64_t i = 1; i < std::min(wanted, count); ++i) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
  if (first_error) std::rethrow_exception(first_error);
}

ShardManifest write_shards(const ImportOptions& options, const ShardManifest& description,
                           const MakeSample& make_sample) {
  return ShardJob(options, description, make_sample).run();
}

}  // namespace bitlaw::data
