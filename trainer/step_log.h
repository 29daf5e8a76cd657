// metrics.jsonl: one JSON object a step, appended by rank 0. Torch-free.
//
//   {"step": 40, "samples_seen": 1280, "wall_time": 1764098000.125, "lr": 0.0005, "loss": 3.1, ...}
// step counts updates; wall_time is Unix time in seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "trainer/figures.h"

namespace bitlaw::trainer {

struct StepLine {
  std::int64_t step = 0;
  std::int64_t samples_seen = 0;
  double wall_time = 0.0;
  Figures values;
};

class StepLog {
 public:
  // Continues the file; lines of steps after `resumed_step`, which will be made again, are cut, and so is a
  // line that a crash left unfinished. InputError when the file cannot be written.
  StepLog(const std::filesystem::path& path, std::int64_t resumed_step);
  void append(const std::vector<StepLine>& lines);  // and flushes

 private:
  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace bitlaw::trainer
