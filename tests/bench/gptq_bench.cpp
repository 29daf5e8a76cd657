// GPTQ of one layer of 1024 outputs and 4096 inputs (fc2 of a VAR of width 1024) on one thread unless
// OMP_NUM_THREADS says otherwise. Medians. The PyTorch side is peers/gptq.py, on a layer of the same numbers;
// both print the layer's output error.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "quant/methods/gptq.h"
#include "quant/methods/rtn.h"

namespace {

using namespace bitlaw::quant;

double median_seconds(int repeats, const std::function<void()>& body) {
  body();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Element (i, j) is a function of i and j that needs no generator of random numbers: the same here and there.
at::Tensor spread(std::int64_t rows, std::int64_t columns, double step) {
  const at::Tensor i = at::arange(1, rows + 1, at::kDouble).unsqueeze(1);
  const at::Tensor j = at::arange(1, columns + 1, at::kDouble).unsqueeze(0);
  return at::sin(i * j * step + i * i * 0.37).to(at::kFloat);
}

void bench_gptq(const char* text, const at::Tensor& weight, const InputStatistics& inputs,
                const GptqOptions& options) {
  const QuantSpec spec = QuantSpec::parse(text);
  LayerCodes codes;
  const double seconds = median_seconds(3, [&] { codes = gptq(weight, inputs, spec, options); });
  const double error = inputs.output_error(dequantise(codes, spec) - weight);
  const double nearest = inputs.output_error(dequantise(round_to_nearest(weight, spec, {}), spec) - weight);
  const char* search = options.scales.search == ScaleSearch::mse ? "search" : "absmax";
  std::printf("gptq %-22s %s %s %7.2f s   output error %.6g (round to nearest %.6g)\n", text, search,
              options.act_order ? "act-order" : "         ", seconds, error, nearest);
}

}  // namespace

int main() {
  constexpr std::int64_t kOut = 1024;
  constexpr std::int64_t kIn = 4096;
  const at::Tensor weight = spread(kOut, kIn, 0.7123) * 0.02;
  Statistics statistics;
  observe_input(statistics, "layer", spread(2 * kIn, kIn, 0.3137));
  const InputStatistics inputs = input_statistics(statistics, "layer");
  std::printf("threads %d, layer [%ld, %ld]\n", at::get_num_threads(), static_cast<long>(kOut),
              static_cast<long>(kIn));
  GptqOptions options;
  bench_gptq("int4.g128.sym.float32", weight, inputs, options);
  options.act_order = true;
  bench_gptq("int4.g128.sym.float32", weight, inputs, options);
  options = {};
  options.scales.search = ScaleSearch::mse;
  bench_gptq("int4.g128.sym.float32", weight, inputs, options);
  return 0;
}
