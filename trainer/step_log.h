// metrics.jsonl: one JSON object a step, appended by rank 0. Torch-free.
//
//   {"step": 40, "samples_seen": 1280, "wall_time": 1764098000.125, "lr": 0.0005, "loss": 3.1, ...}
// step counts updates; wall_time is Unix time in seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/file_io.h"
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
  // Returns what went wrong ("": nothing): the lines are then kept, and written with the next ones. A line is
  // in the file whole or not at all.
  std::string append(const std::vector<StepLine>& lines);

 private:
  std::filesystem::path path_;
  data::FileHandle file_;
  std::uint64_t size_ = 0;  // of what is whole in the file
  std::string pending_;
};

}  // namespace bitlaw::trainer
