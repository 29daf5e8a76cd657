#include "trainer/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"

namespace bitlaw::trainer {

namespace {

spdlog::level::level_enum level_of(Verbosity verbosity) {
  switch (verbosity) {
    case Verbosity::quiet:
      return spdlog::level::warn;
    case Verbosity::normal:
      return spdlog::level::info;
    case Verbosity::verbose:
      break;
  }
  return spdlog::level::debug;
}

std::vector<spdlog::sink_ptr> console_sinks(int rank, Verbosity verbosity) {
  if (rank != 0) {
    return {};
  }
  auto console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  console->set_level(level_of(verbosity));
  console->set_pattern("%H:%M:%S %l: %v");
  return {console};
}

spdlog::sink_ptr file_sink(const std::filesystem::path& run_folder, int rank) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "log.rank%04d.txt", rank);
  const std::filesystem::path path = run_folder / name.data();
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    file->set_level(spdlog::level::debug);
    file->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
    return file;
  } catch (const spdlog::spdlog_ex& error) {
    throw data::InputError("log " + path.string() + " cannot be written: " + error.what(),
                           "the run would leave no record", "make the run folder writable");
  }
}

}  // namespace

struct Log::Impl {
  explicit Impl(const std::vector<spdlog::sink_ptr>& sinks) : logger("bitlaw", sinks.begin(), sinks.end()) {
    logger.set_level(spdlog::level::debug);  // sinks decide
    logger.flush_on(spdlog::level::debug);
  }
  spdlog::logger logger;
};

Log::Log(int rank, Verbosity verbosity) : impl_(std::make_unique<Impl>(console_sinks(rank, verbosity))) {}

Log::Log(const std::filesystem::path& run_folder, int rank, Verbosity verbosity) {
  std::vector<spdlog::sink_ptr> sinks = console_sinks(rank, verbosity);
  sinks.push_back(file_sink(run_folder, rank));
  impl_ = std::make_unique<Impl>(sinks);
}

Log::~Log() = default;

void Log::debug(const std::string& text) {
  impl_->logger.debug(text);
}
void Log::info(const std::string& text) {
  impl_->logger.info(text);
}
void Log::warn(const std::string& text) {
  impl_->logger.warn(text);
}
void Log::error(const std::string& text) {
  impl_->logger.error(text);
}

}  // namespace bitlaw::trainer
