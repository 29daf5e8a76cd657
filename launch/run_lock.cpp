#include "launch/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <span>
#include <thread>
#include <utility>

#include "data/formats/input_error.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

struct Holder {
  std::string host;
  std::string pid;
};

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

Holder read_holder(const fs::path& file) {
  Holder holder{"an unknown machine", "unknown"};
  std::ifstream stream(file);
  stream >> holder.host >> holder.pid;
  return holder;
}

void write_holder(const data::FileHandle& file, const fs::path& path) {
  const std::string text = fmt::format("{} {}\n", host_name(), ::getpid());
  data::resize_file(file, 0, path);
  data::write_fully(file, std::as_bytes(std::span(text)), 0, path);
}

std::string name_of(const Holder& holder) {
  return fmt::format("process {} on {}", holder.pid, holder.host);
}

}  // namespace

LockPatience LockPatience::within(std::chrono::milliseconds deadline) const {
  return {std::min(here, deadline / 2), std::min(elsewhere, deadline / 2)};
}

void RunLock::take(const fs::path& run, const std::function<void(const std::string&)>& say,
                   const LockPatience& patience) {
  using Clock = std::chrono::steady_clock;
  if (is_held()) {
    return;
  }
  const fs::path path = run / "lock";
  data::FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.is_open()) {
    return;  // whoever writes there next says what is wrong with it
  }
  const auto start = Clock::now();
  bool said = false;
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return;  // no locks here
    }
    const Holder holder = read_holder(path);
    const auto limit = holder.host == host_name() ? patience.here : patience.elsewhere;
    if (Clock::now() - start >= limit) {
      throw data::InputError(fmt::format("run.name: {} is in use by {}", run.string(), name_of(holder)),
                             "two starts of one run would undo each other's steps",
                             "wait until it is done, stop it, or choose another run.name");
    }
    if (!said) {
      say(fmt::format("{} is in use by {}: waiting for it to end", run.string(), name_of(holder)));
      said = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  write_holder(file, path);
  file_ = std::move(file);
}

}  // namespace bitlaw::launch
