// A progress bar on one line of a terminal. Torch-free.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace bitlaw::trainer {

enum class ProgressStyle { none, plain_bar, colour_bar };

// A bar on rank 0 of a terminal, else none (the log's lines serve); colours unless no_color (NO_COLOR) is
// set.
struct ProgressSituation {
  int rank = 0;
  bool is_terminal = false;
  bool quiet = false;
  bool no_color = false;
};
ProgressStyle progress_style(const ProgressSituation& situation);

class Progress {
 public:
  Progress(std::FILE* out, ProgressStyle style, std::int64_t total);
  ~Progress();  // leaves a clean line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Redraws at most ten times a second. `note`: what is shown behind the bar.
  void show(std::int64_t done, const std::string& note);
  void clear();  // before other text goes to the terminal

 private:
  std::FILE* out_;
  ProgressStyle style_;
  std::int64_t total_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

std::string progress_line(std::int64_t done, std::int64_t total, const std::string& note,
                          ProgressStyle style);

}  // namespace bitlaw::trainer
