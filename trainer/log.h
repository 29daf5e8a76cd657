// Where the messages of a run go: every rank's file log.rank0000.txt in the run folder, and rank 0's to
// stderr. Torch-free.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace bitlaw::trainer {

enum class Verbosity { quiet, normal, verbose };  // stderr: warnings and worse, information, details

// Plain text, no colours. Every message is written through at once, so that nothing is lost when a rank
// leaves by _Exit. Any thread may write.
class Log {
 public:
  // For what has no run folder: stderr only, rank 0 only.
  Log(int rank, Verbosity verbosity);
  // Appends to run_folder/log.rank0000.txt as well. InputError when it cannot be opened.
  Log(const std::filesystem::path& run_folder, int rank, Verbosity verbosity);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void debug(const std::string& text);
  void info(const std::string& text);
  void warn(const std::string& text);
  void error(const std::string& text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitlaw::trainer
