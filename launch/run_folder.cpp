#include "launch/run_folder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/formats/file_io.h"
#include "data/formats/input_error.h"
#include "launch/version.h"
#include "trainer/agreement.h"
#include "trainer/checkpoint/commit.h"
#include "trainer/comm/mpi_collective.h"
#include "trainer/config/identity.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

std::optional<std::string> read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return std::nullopt;
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string command_line() {
  std::string text = read_text("/proc/self/cmdline").value_or("");
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

std::string environment_json(int ranks) {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  nlohmann::ordered_json json;
  json["bitlaw"] = kVersion;
  json["git"] = kGit;
  json["libtorch"] = kTorchVersion;
  json["mpi"] = trainer::mpi_library_version();
  json["host"] = host;
  json["ranks"] = ranks;
  json["started"] = time_stamp();
  return json.dump(2) + "\n";
}

void make_folder(const fs::path& run) {
  std::error_code error;
  fs::create_directories(run, error);
  if (error || access(run.c_str(), W_OK) != 0) {
    throw data::InputError(fmt::format("run.dir: {} cannot be written ({})", run.string(),
                                       error ? error.message() : std::string(std::strerror(errno))),
                           "a run saves its checkpoints there",
                           "choose another run.dir or make the folder writable");
  }
}

void warn(const std::string& text) {
  fmt::print(stderr, "warning: {}\n", text);
}

void remove_finished(const fs::path& run) {
  std::error_code error;
  fs::remove(run / "finished", error);
  if (error) {
    throw data::file_error(run / "finished", "remove it", error.value());
  }
}

}  // namespace

fs::path run_path(const trainer::RunConfig& config) {
  return fs::path(config.run.dir) / config.run.name;
}

namespace {

// The other ranks wait for rank 0 in a collective.
void take_lock(const trainer::RunConfig& config, RunLock& lock) {
  const std::chrono::seconds deadline(config.parallel.deadline_seconds);
  lock.take(run_path(config), warn, LockPatience().within(deadline));
}

}  // namespace

std::int64_t claim_run_folder(const trainer::RunConfig& config, const std::string& identity, int ranks,
                              RunLock& lock) {
  const fs::path run = run_path(config);
  make_folder(run);
  take_lock(config, lock);
  if (const auto known = read_text(run / "identity.yaml")) {
    const auto differences = trainer::identity_differences(*known, identity);
    if (!differences.empty()) {
      throw data::InputError(
          fmt::format("run.name: {} is the folder of a run with another configuration ({})", run.string(),
                      fmt::join(differences, "; ")),
          "mixing two runs would make neither repeatable", "choose another run.name, or remove the folder");
    }
  } else {
    data::write_text_file(run / "identity.yaml", identity);
  }
  data::write_text_file(run / "config.yaml", trainer::write_config(config));
  data::write_text_file(run / "env.json", environment_json(ranks));
  data::write_text_file(run / "cmd.txt", command_line() + "\n");
  remove_finished(run);
  return trainer::take_incarnation(run);
}

std::int64_t claim_for_ranks(const trainer::RunConfig& config, const std::string& identity,
                             trainer::Collective& collective, RunLock& lock) {
  at::Tensor number = at::zeros({1}, at::kLong);
  trainer::on_rank_0([&] { number.fill_(claim_run_folder(config, identity, collective.size(), lock)); },
                     collective);
  collective.broadcast(number, 0).wait();
  return number.item<std::int64_t>();
}

void lock_run_folder(const trainer::RunConfig& config, trainer::Collective& collective, RunLock& lock) {
  const auto take = [&] {
    if (fs::is_directory(run_path(config))) {
      take_lock(config, lock);
    }
  };
  trainer::on_rank_0(take, collective);
}

std::optional<FinishedMark> read_finished(const fs::path& run) {
  const auto text = read_text(run / "finished");
  if (!text) {
    return std::nullopt;
  }
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) {
    return std::nullopt;
  }
  const auto step = json.find("step"), hash = json.find("parameter_hash");
  if (step == json.end() || !step->is_number_integer() || (hash != json.end() && !hash->is_string())) {
    return std::nullopt;
  }
  return FinishedMark{step->get<std::int64_t>(), hash == json.end() ? "" : hash->get<std::string>()};
}

void write_finished(const fs::path& run, const FinishedMark& mark) {
  const nlohmann::ordered_json json = {{"step", mark.step}, {"parameter_hash", mark.parameter_hash}};
  data::write_text_file(run / "finished", json.dump() + "\n");
}

}  // namespace bitlaw::launch
