// Saving as a machine of three states that all ranks move through together:
//   idle --save()--> writing (every rank's thread writes its part) --all done--> committing (rank 0's thread)
//   --done--> idle. A failure in either leads back to idle, with the previous checkpoint untouched.
#include <ATen/ATen.h>

#include <bit>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "data/formats/file_io.h"
#include "trainer/agreement.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint/background_task.h"
#include "trainer/checkpoint/commit.h"
#include "trainer/checkpoint/layout.h"
#include "trainer/checkpoint/part_buffer.h"
#include "trainer/elapsed.h"

namespace bitlaw::trainer {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostFailures = 3;
constexpr std::chrono::milliseconds kPatience{200};  // ranks meet at least so often while they wait

enum class Phase { idle, writing, committing };
enum class Progress : std::int64_t { done = 0, failed = 1, superseded = 2, busy = 3 };

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "unknown error";
  }
}

bool is_superseded(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const SupersededError&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

struct CheckpointWriter::Impl {
  Options options;
  Collective& collective;
  PartBuffer buffer;
  Phase phase = Phase::idle;
  ManifestPart part;  // of this rank; written by the thread, read when it is done
  int failures = 0;   // in a row
  bool last_failed = false;
  bool confirmed = true;
  double pause = 0.0;
  BackgroundTask task;  // last: its thread uses what stands above

  Impl(const Options& o, Collective& c) : options(o), collective(c), buffer(c.rank(), c.size()) {
    std::string problem;
    if (collective.rank() == 0) {
      problem = prepare_folder();
    }
    if (const std::string message = first_message(problem, collective); !message.empty()) {
      throw data::InputError(message);
    }
  }

  std::string prepare_folder() const {
    try {
      std::error_code error;
      std::filesystem::create_directories(options.folder, error);
      if (error) {
        throw data::file_error(options.folder, "make the folder of checkpoints", error.value());
      }
      claim_incarnation(options.folder, options.incarnation);
      remove_unfinished(options.folder, options.incarnation);
      return "";
    } catch (const data::InputError& error) {
      return error.what();
    }
  }

  std::filesystem::path building() const {
    return building_folder(options.folder, buffer.manifest().step, options.incarnation);
  }

  void start_writing() {
    phase = Phase::writing;
    last_failed = false;
    task.start([this] { part = buffer.write(building()); });
  }

  // All parts are written: their sizes and checksums come together, and rank 0 commits.
  void start_commit() {
    phase = Phase::committing;
    at::Tensor mine = at::empty({2}, at::kLong);
    mine[0] = part.bytes;
    mine[1] = std::bit_cast<std::int64_t>(part.checksum);
    at::Tensor all = at::empty({collective.size() * 2}, at::kLong);
    collective.all_gather(all, mine).wait();
    if (collective.rank() != 0) {
      return;
    }
    Manifest manifest = buffer.manifest();
    manifest.incarnation = options.incarnation;
    for (int rank = 0; rank < collective.size(); ++rank) {
      manifest.parts.push_back({part_file_name(rank, collective.size()), all[2 * rank].item<std::int64_t>(),
                                std::bit_cast<std::uint64_t>(all[2 * rank + 1].item<std::int64_t>())});
    }
    task.start([this, manifest = std::move(manifest)] {
      commit_checkpoint(options.folder, manifest);
      prune_checkpoints(options.folder, manifest.step, {options.keep_last, options.keep_every},
                        options.incarnation);
    });
  }

  // All ranks learn how far they are together, and move on when everybody is done. False: a thread is busy.
  bool meet(std::chrono::milliseconds patience) {
    if (phase == Phase::idle) {
      return true;
    }
    if (!confirmed) {
      return false;
    }
    Progress mine = Progress::busy;
    if (task.wait_for(patience)) {
      mine = !task.error()                 ? Progress::done
             : is_superseded(task.error()) ? Progress::superseded
                                           : Progress::failed;
    }
    at::Tensor furthest = at::full({1}, static_cast<std::int64_t>(mine), at::kLong);
    collective.all_reduce(furthest, ReduceOp::maximum).wait();
    const auto together = static_cast<Progress>(furthest.item<std::int64_t>());
    if (together == Progress::busy) {
      return false;
    }
    if (together != Progress::done) {
      give_up(together);
    } else if (phase == Phase::writing) {
      start_commit();
      return false;
    } else {
      failures = 0;
    }
    phase = Phase::idle;
    return true;
  }

  void give_up(Progress reason) {
    phase = Phase::idle;
    last_failed = true;
    ++failures;
    const std::string message = first_message(task.error() ? message_of(task.error()) : "", collective);
    if (collective.rank() == 0) {
      std::error_code ignored;
      std::filesystem::remove_all(building(), ignored);
      if (options.report) {
        options.report("checkpoint of step " + std::to_string(buffer.manifest().step) +
                       " could not be saved, the previous one is kept: " + message);
      }
    }
    if (reason == Progress::superseded) {
      throw data::InputError(message);
    }
    if (failures >= kMostFailures) {
      throw data::InputError(message + " [" + std::to_string(kMostFailures) +
                             " saves in a row have failed, further work would be lost]; run again when the "
                             "disk can be written, the previous checkpoint is whole");
    }
  }

  void drain() {
    if (!confirmed) {
      throw std::logic_error("a checkpoint that was begun is not confirmed");
    }
    while (!meet(kPatience)) {
    }
  }
};

CheckpointWriter::CheckpointWriter(const Options& options, Collective& collective)
    : impl_(std::make_unique<Impl>(options, collective)) {}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::reserve(const CheckpointState& state) {
  impl_->buffer.reserve(state);
}

void CheckpointWriter::save(const CheckpointState& state) {
  const auto start = Clock::now();
  begin(state);
  confirm(state.texts);
  impl_->pause = seconds_since(start);
}

void CheckpointWriter::begin(const CheckpointState& state) {
  const auto start = Clock::now();
  impl_->drain();
  impl_->buffer.copy(state);
  impl_->start_writing();
  impl_->confirmed = false;
  impl_->pause = seconds_since(start);
}

void CheckpointWriter::confirm(const std::map<std::string, std::string>& texts) {
  impl_->buffer.set_texts(texts);
  impl_->confirmed = true;
  if (!impl_->options.asynchronous) {
    impl_->drain();
  }
}

void CheckpointWriter::poll() {
  impl_->meet(std::chrono::milliseconds(0));
}

void CheckpointWriter::finish() {
  impl_->drain();
  while (impl_->last_failed) {
    std::this_thread::sleep_for(kPatience);
    impl_->start_writing();
    impl_->drain();
  }
}

double CheckpointWriter::last_pause_seconds() const {
  return impl_->pause;
}

}  // namespace bitlaw::trainer
