// States that tests save, as functions of the step, and small tools on files.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "trainer/checkpoint.h"

namespace bitlaw::trainer::test {

// Every kind of tensor that a run has: one with fewer elements than ranks, a scalar, an empty one, integers,
// bfloat16 and a transposed view.
inline CheckpointState make_state(std::int64_t step) {
  const auto numbers = [&](std::int64_t count) {
    return at::arange(count, at::kFloat) * 0.25 + double(step);
  };
  CheckpointState state;
  state.step = step;
  state.tensors["model/blocks.0.attn.weight"] = numbers(1001).reshape({7, 143});
  state.tensors["model/transposed"] = numbers(60).reshape({6, 10}).t();
  state.tensors["model/scalar"] = at::full({}, double(step), at::kDouble);
  state.tensors["model/empty"] = at::empty({0, 4}, at::kFloat);
  state.tensors["model/three"] = at::arange(3, at::kLong) + step;
  state.tensors["ema/half"] = numbers(33).to(at::kBFloat16);
  state.tensors["exp_avg/codes"] = (at::arange(129, at::kInt) % 100).to(at::kByte);
  state.texts = {{"config", "run:\n  name: \"a\"\n"}, {"state_hash", std::to_string(step)}};
  return state;
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b);
}

inline bool same_state(const CheckpointState& a, const CheckpointState& b) {
  bool same = a.step == b.step && a.texts == b.texts && a.tensors.size() == b.tensors.size();
  for (const auto& [name, tensor] : a.tensors) {
    same = same && b.tensors.count(name) == 1 && same_bits(tensor, b.tensors.at(name));
  }
  return same;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace bitlaw::trainer::test
