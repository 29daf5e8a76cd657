// Round to nearest by absmax with packing, from a weight of 4096 x 4096 to its packed codes, against memory
// bandwidth: bytes moved (weights read, codes written) a second, of those of memcpy (read and written) into
// mapped memory. One thread unless OMP_NUM_THREADS says otherwise; medians. Arguments: specs instead of those
// listed here.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "quant/quantizer.h"

namespace {

using namespace bitlaw::quant;

constexpr int kRepeats = 15;

double seconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Both in turn, so that what else the machine does meets both.
void bench(const std::string& text, const at::Tensor& weight, const at::Tensor& copy) {
  Quantizer quantizer(QuantSpec::parse(text), Method::rtn, weight.size(0), weight.size(1));
  const auto pack = [&] {
    quantizer.initialise(weight, ScaleSearch::absmax);
    quantizer.pack(weight);
  };
  pack();
  std::vector<double> packing;
  std::vector<double> copying;
  for (int i = 0; i < kRepeats; ++i) {
    packing.push_back(seconds(pack));
    copying.push_back(
        seconds([&] { std::memcpy(copy.mutable_data_ptr(), weight.const_data_ptr(), weight.nbytes()); }));
  }
  const auto bytes = static_cast<double>(weight.nbytes());
  const double rate = bytes * (1.0 + quantizer.spec().bits() / 32.0) / median(packing);
  const double copy_rate = 2.0 * bytes / median(copying);
  std::printf("%-20s %7.2f ms   %5.2f GB/s, memcpy %5.2f GB/s, ratio %.2f\n", text.c_str(),
              median(packing) * 1e3, rate / 1e9, copy_rate / 1e9, rate / copy_rate);
}

}  // namespace

int main(int count, char** arguments) {
  constexpr std::int64_t kExtent = 4096;
  std::vector<std::string> specs(arguments + 1, arguments + count);
  if (specs.empty()) {
    specs = {"int8.channel.sym", "int4.channel.sym", "int8.g128.sym", "int4.g128.sym", "int3.g128.sym",
             "int2h.g128.sym",   "int8.g64.sym",     "int4.g64.sym",  "int3.g64.sym",  "int2h.g64.sym",
             "int8.g32.sym",     "int4.g32.sym",     "int3.g32.sym",  "int2h.g32.sym", "int4.g128.asym",
             "int3.g64.asym",    "int4.g32.asym",    "e2m1.g128.sym", "e2m1.g32.sym",  "e2m1.g32.sym.e8m0",
             "e2m1.g16.sym.e4m3"};
  }
  at::manual_seed(1);
  const at::Tensor weight = at::randn({kExtent, kExtent}) * 0.02;
  const at::Tensor copy = at::zeros_like(weight);  // mapped
  std::printf("threads %d, weight [%ld, %ld]\n", at::get_num_threads(), static_cast<long>(kExtent),
              static_cast<long>(kExtent));
  for (const std::string& text : specs) {
    bench(text, weight, copy);
  }
  return 0;
}
