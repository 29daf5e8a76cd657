// Training runs of the toy task, for tests of everything that happens around a step.
#pragma once

#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "tests/support/toy_task.h"
#include "trainer/checkpoint.h"
#include "trainer/config/writer.h"
#include "trainer/trainer.h"

namespace bitlaw::trainer {

inline RunConfig toy_config() {
  RunConfig config;
  config.run.name = "toy";
  config.run.seed = 3;
  config.optim.lr = 0.02;
  config.optim.scale_lr = 0.01;
  config.schedule.warmup_steps = 2;
  config.train.global_batch_size = 16;
  config.train.micro_batch_size = 4;
  config.train.max_steps = 6;
  config.train.precision = Precision::fp32;
  config.train.ema_decay = 0.9;
  config.parallel.bucket_mb = 0.001;
  config.checkpoint.async = false;
  config.checkpoint.keep_last = 20;
  config.eval.samples = 12;
  config.eval.micro_batch_size = 5;
  config.log.interval = 4;
  config.data.workers = 1;
  return config;
}

// A folder that all ranks of a group share: rank 0 makes it, and it goes with rank 0's object, which leaves
// last.
class SharedFolder {
 public:
  explicit SharedFolder(Collective& collective) : collective_(collective) {
    at::Tensor text = at::zeros({256}, at::kByte);
    if (collective.rank() == 0) {
      folder_.emplace();
      std::memcpy(text.data_ptr(), folder_->path().c_str(), folder_->path().native().size());
    }
    collective.broadcast(text, 0).wait();
    path_ = static_cast<const char*>(text.data_ptr());
  }
  ~SharedFolder() {
    if (std::uncaught_exceptions() == 0) {
      collective_.barrier();
    }
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  Collective& collective_;
  std::optional<test::TemporaryFolder> folder_;
  std::filesystem::path path_;
};

inline TrainerInputs toy_inputs(const std::filesystem::path& folder, const RunConfig& config) {
  TrainerInputs inputs;
  inputs.config = config;
  inputs.run_folder = folder;
  inputs.identity = identity_yaml(config);
  inputs.train = test::toy_dataset(50);
  inputs.validation = test::toy_dataset(20);
  return inputs;
}

// The latest committed checkpoint of a run.
inline CheckpointState latest(const std::filesystem::path& folder) {
  const auto steps = committed_steps(folder / "checkpoints");
  if (steps.empty()) {
    throw std::runtime_error("no checkpoint in " + folder.string());
  }
  return read_checkpoint(checkpoint_path(folder / "checkpoints", steps.back()));
}

inline std::vector<nlohmann::json> metrics(const std::filesystem::path& folder) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(folder / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::json::parse(line));
  }
  return lines;
}

}  // namespace bitlaw::trainer
