// The pause of an asynchronous save against the rate of memcpy in the same run: at most state bytes over half
// that rate, plus 2 ms. One rank, so the share is the whole state. Arguments: folder for the checkpoints.
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "trainer/checkpoint.h"
#include "trainer/comm/thread_group.h"

namespace {

using bitlaw::trainer::CheckpointState;
using bitlaw::trainer::CheckpointWriter;
using Clock = std::chrono::steady_clock;

constexpr double kMebi = 1024.0 * 1024.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Tensors as a model has them: masters, averages and two moments of layers of 1 MiB.
CheckpointState make_state(double mebibytes) {
  CheckpointState state;
  const auto layers = static_cast<int>(mebibytes / 4.0);
  for (int layer = 0; layer < layers; ++layer) {
    for (const char* kind : {"model/", "ema/", "exp_avg/", "exp_avg_sq/"}) {
      state.tensors[kind + std::to_string(layer)] = at::randn({256, 1024});
    }
  }
  return state;
}

std::size_t bytes_of(const CheckpointState& state) {
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : state.tensors) {
    bytes += tensor.nbytes();
  }
  return bytes;
}

// Bytes copied a second, between memory that is mapped already.
double copy_rate(std::size_t bytes) {
  const at::Tensor from = at::ones({static_cast<std::int64_t>(bytes)}, at::kByte);
  const at::Tensor into = at::ones({static_cast<std::int64_t>(bytes)}, at::kByte);
  std::vector<double> times;
  for (int run = 0; run < 9; ++run) {
    const auto start = Clock::now();
    std::memcpy(into.data_ptr(), from.const_data_ptr(), bytes);
    times.push_back(seconds_since(start));
  }
  return static_cast<double>(bytes) / median(times);
}

bool bench(const std::filesystem::path& folder, double mebibytes) {
  CheckpointState state = make_state(mebibytes);
  const auto bytes = static_cast<double>(bytes_of(state));
  const double rate = copy_rate(bytes_of(state));
  const auto collective = bitlaw::trainer::make_serial_collective();
  CheckpointWriter::Options options;
  options.folder = folder;
  CheckpointWriter writer(options, *collective);
  writer.reserve(state);
  std::vector<double> pauses;
  std::vector<double> writes;
  for (state.step = 1; state.step <= 7; ++state.step) {
    writer.save(state);
    pauses.push_back(writer.last_pause_seconds());
    const auto start = Clock::now();
    writer.finish();
    writes.push_back(seconds_since(start));
  }
  const double limit = bytes / (0.5 * rate) + 2e-3;
  const double worst = *std::max_element(pauses.begin(), pauses.end());
  std::printf(
      "%7.0f MiB: memcpy %5.1f GB/s; pause median %7.2f ms, worst %7.2f ms, limit %7.2f ms: %s; written in "
      "%.2f s\n",
      bytes / kMebi, rate * 1e-9, 1e3 * median(pauses), 1e3 * worst, 1e3 * limit,
      worst <= limit ? "ok" : "TOO LONG", median(writes));
  return worst <= limit;
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder =
      (argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path()) /
      "checkpoint_bench";
  bool good = true;
  for (const double mebibytes : {4.0, 24.0, 256.0, 1024.0}) {
    good = bench(folder, mebibytes) && good;
    std::filesystem::remove_all(folder);
  }
  return good ? 0 : 1;
}
