// Fake quantisation against memory bandwidth, and a quantised Linear against a plain one. One thread unless
// OMP_NUM_THREADS says otherwise; medians. The PyTorch side is peers/fake_quant.py.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "quant/layers.h"

namespace {

using bitlaw::quant::Linear;
using bitlaw::quant::Method;
using bitlaw::quant::Quantizer;
using bitlaw::quant::QuantSpec;

double seconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median_ms(const std::function<void()>& body) {
  body();
  body();
  std::vector<double> times;
  for (int i = 0; i < 21; ++i) {
    times.push_back(seconds(body) * 1e3);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void row(const char* name, double ms, double bytes, double copy_rate) {
  const double rate = bytes / ms / 1e6;
  std::printf("  %-34s %9.3f ms %8.1f GB/s  %4.2f of memcpy\n", name, ms, rate, rate / copy_rate);
}

// Bytes read and written once, per second; into memory that is already mapped.
double copy_gb_per_s(std::int64_t count) {
  const at::Tensor from = at::randn({count});
  const at::Tensor into = at::empty({count});
  const double ms =
      median_ms([&] { std::memcpy(into.mutable_data_ptr(), from.const_data_ptr(), from.nbytes()); });
  return 2.0 * static_cast<double>(from.nbytes()) / ms / 1e6;
}

void bench_weight(const char* text, std::int64_t out, std::int64_t in) {
  const at::Tensor weight = at::randn({out, in}) * 0.02;
  weight.requires_grad_();
  Quantizer quantizer(QuantSpec::parse(text), Method::lsq, out, in);
  quantizer.initialise(weight, bitlaw::quant::ScaleSearch::absmax);
  const auto count = static_cast<double>(out * in);
  const double copy_rate = copy_gb_per_s(out * in);
  std::printf("%s [%ld, %ld], memcpy %.1f GB/s\n", text, static_cast<long>(out), static_cast<long>(in),
              copy_rate);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double value_bytes = type == at::kFloat ? 4 : 2;
    const double forward = median_ms([&] {
      const at::NoGradGuard no_grad;
      quantizer.forward(weight, type);
    });
    row(type == at::kFloat ? "forward" : "forward, bfloat16", forward, count * (4 + value_bytes), copy_rate);
    const at::Tensor grad = at::randn({out, in}).to(type);
    const at::Tensor value = quantizer.forward(weight, type);
    const double backward = median_ms([&] {
      torch::autograd::grad({value}, {weight, quantizer.parameters()[0]}, {grad}, /*retain_graph=*/true);
    });
    row(type == at::kFloat ? "backward" : "backward, bfloat16 gradient", backward, count * (8 + value_bytes),
        copy_rate);
  }
}

void bench_linear(std::int64_t tokens, std::int64_t in, std::int64_t out) {
  const at::Tensor x = at::randn({tokens, in}).to(at::kBFloat16).requires_grad_();
  const at::Tensor grad = at::randn({tokens, out}).to(at::kBFloat16);
  Linear linear(in, out);
  {
    const at::NoGradGuard no_grad;
    linear.weight.copy_(at::randn({out, in}) * 0.02);
  }
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const auto step = [&](const std::function<at::Tensor()>& forward) {
    return median_ms([&] {
      forward().backward(grad);
      at::autocast::clear_cache();
      linear.zero_grad();
      x.mutable_grad().reset();
    });
  };
  const double plain = step([&] { return at::linear(x, linear.weight, linear.bias); });
  auto quantizer = std::make_shared<Quantizer>(QuantSpec::parse("int4.g64.sym"), Method::lsq, out, in);
  quantizer->initialise(linear.weight, bitlaw::quant::ScaleSearch::absmax);
  linear.attach(quantizer, std::nullopt);
  linear.set_rest_dtype(bitlaw::quant::RestType::bfloat16);
  const double quantised = step([&] { return linear.forward(x); });
  linear.attach(quantizer, QuantSpec::parse("int8.token.sym"));
  const double activations = step([&] { return linear.forward(x); });
  at::autocast::set_autocast_enabled(at::kCPU, false);
  std::printf(
      "Linear forward + backward, bf16, [%ld, %ld] -> %ld: plain %.3f ms, int4.g64 %.3f ms (%.2f x), "
      "with int8 activations %.3f ms (%.2f x)\n",
      static_cast<long>(tokens), static_cast<long>(in), static_cast<long>(out), plain, quantised,
      quantised / plain, activations, activations / plain);
}

}  // namespace

int main() {
  std::printf("threads %d\n", at::get_num_threads());
  bench_weight("int4.g64.sym", 4096, 4096);
  bench_weight("int3.g64.asym", 4096, 4096);
  bench_weight("int8.channel.sym", 4096, 4096);
  bench_weight("int4.g64.sym", 1024, 256);
  bench_linear(1360, 256, 1024);
  bench_linear(1360, 1024, 256);
  return 0;
}
