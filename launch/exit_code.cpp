#include "launch/exit_code.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>

#include "data/formats/input_error.h"
#include "launch/commands/command.h"
#include "trainer/comm/bootstrap.h"
#include "trainer/stop_signal.h"
#include "trainer/trainer.h"

namespace bitlaw::launch {
namespace {

struct Failure {
  int code = kBug;
  std::string message;
};

// A look at a file or a folder, or a rename, that the system refused.
std::string message_of(const std::filesystem::filesystem_error& error) {
  const std::string target = error.path2().empty() ? "" : " -> " + error.path2().string();
  return fmt::format(
      "{}{}: {} [the program cannot go on without it]; check the path, its permissions and the free space",
      error.path1().string(), target, error.code().message());
}

Failure describe(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const data::InputError& e) {
    return {kUserMistake, e.what()};
  } catch (const std::filesystem::filesystem_error& e) {
    return {kUserMistake, message_of(e)};
  } catch (const trainer::NotFiniteError& e) {
    return {kDoNotRepeat, e.what()};
  } catch (const trainer::DivergedError& e) {
    return {kDoNotRepeat, e.what()};
  } catch (const VerifyError& e) {
    return {kDoNotRepeat, e.what()};
  } catch (const trainer::CommError& e) {
    return {kRunAgain, e.what()};
  } catch (const trainer::StopRequested& e) {
    return {kRunAgain, e.what()};
  } catch (const std::exception& e) {
    return {kBug, std::string(e.what()) +
                      " [this is a bug of bitlaw]; please report it with the command and the log"};
  }
}

void print(const Failure& failure, const std::string& rank) {
  fmt::print(stderr, "error: {}{}\n", rank, failure.message);
  std::fflush(stderr);
}

[[noreturn]] void leave_alone(const Failure& failure, const trainer::Collective& collective) {
  if (collective.rank() != 0) {
    std::this_thread::sleep_for(std::chrono::seconds(1));  // an error of all ranks ends us here, silently
  }
  if (collective.rank() == 0 || !trainer::stop_requested()) {
    print(failure, fmt::format("rank {}: ", collective.rank()));
  }
  std::fflush(nullptr);
  std::_Exit(failure.code);
}

}  // namespace

int exit_code_of(const std::function<int()>& action) {
  try {
    return action();
  } catch (...) {
    const Failure failure = describe(std::current_exception());
    print(failure, "");
    return failure.code;
  }
}

int run_on_ranks(const trainer::ParallelConfig& parallel,
                 const std::function<int(trainer::Collective&)>& body) {
  trainer::Ranks ranks(parallel.backend, std::chrono::seconds(parallel.deadline_seconds));
  trainer::Collective& collective = ranks.collective();
  if (collective.size() == 1) {
    return body(collective);
  }
  try {
    return body(collective);
  } catch (...) {
    leave_alone(describe(std::current_exception()), collective);
  }
}

}  // namespace bitlaw::launch
