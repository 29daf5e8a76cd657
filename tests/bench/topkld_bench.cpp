// Our side of compare_topkld.py: fused divergences, forward and backward through the public interface.
//
// Reads one case a line, answers one JSON object a line: {"case", "wall_ms", "cpu_ms", "value"}, medians over
// repeats after a warm-up (cpu_ms is what counts on a machine that others use). A case is LOSS[:OPTION...]
// with LOSS a name of distill.loss and options: lowest (the lowest instruction set that this build has),
// bfloat16, evaluate (loss alone), tokens=N, vocab=N, top_k=N, repeats=N.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <hwy/targets.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "distill/losses/divergence.h"

namespace {

using namespace bitlaw::distill;

struct Case {
  DivergenceSpec spec;
  bool lowest = false;
  bool bfloat16 = false;
  bool evaluate = false;
  std::int64_t tokens = 1360;
  std::int64_t vocab = 4096;
  int repeats = 5;
};

Loss loss_named(const std::string& name) {
  for (const Loss loss :
       {Loss::topkld, Loss::forward_kl, Loss::reverse_kl, Loss::jsd, Loss::cakld, Loss::skew_forward_kl,
        Loss::skew_reverse_kl, Loss::akl, Loss::mse, Loss::cross_entropy}) {
    if (bitlaw::data::enum_name(loss) == name) return loss;
  }
  throw std::runtime_error("no loss " + name);
}

void apply_option(Case& result, const std::string& option) {
  const auto number = [&] { return std::stoll(option.substr(option.find('=') + 1)); };
  if (option == "lowest") {
    result.lowest = true;
  } else if (option == "bfloat16") {
    result.bfloat16 = true;
  } else if (option == "evaluate") {
    result.evaluate = true;
  } else if (option.starts_with("tokens=")) {
    result.tokens = number();
  } else if (option.starts_with("vocab=")) {
    result.vocab = number();
  } else if (option.starts_with("top_k=")) {
    result.spec.top_k = number();
  } else if (option.starts_with("repeats=")) {
    result.repeats = static_cast<int>(number());
  } else {
    throw std::runtime_error("no option " + option);
  }
}

Case parse(const std::string& line) {
  std::istringstream parts(line);
  std::string part;
  std::getline(parts, part, ':');
  Case result;
  result.spec.loss = loss_named(part);
  while (std::getline(parts, part, ':')) apply_option(result, part);
  return result;
}

struct Times {
  double wall_ms;
  double cpu_ms;
};

Times now() {
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double, std::milli>(wall).count(),
          static_cast<double>(cpu.tv_sec) * 1e3 + static_cast<double>(cpu.tv_nsec) * 1e-6};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(const std::string& name, const Case& what) {
  at::manual_seed(1);
  const at::ScalarType type = what.bfloat16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor teacher = (2 * at::randn({what.tokens, what.vocab})).to(type);
  at::Tensor student = (teacher.to(at::kFloat) + 0.5 * at::randn({what.tokens, what.vocab})).to(type);
  if (!what.evaluate) student.requires_grad_();
  const at::Tensor targets = at::randint(what.vocab, {what.tokens}, at::kLong);
  const at::Tensor weights = at::full({what.tokens}, 1.0 / static_cast<double>(what.tokens));
  double value = 0;
  const auto step = [&] {
    const DivergenceOutput output = divergence_fused(what.spec, student, teacher, targets, weights);
    if (!what.evaluate) output.weighted_sum.backward();
    value = output.weighted_sum.item<double>();
    student.mutable_grad() = at::Tensor();
  };
  step();
  std::vector<double> wall;
  std::vector<double> cpu;
  for (int i = 0; i < what.repeats; ++i) {
    const Times start = now();
    step();
    const Times end = now();
    wall.push_back(end.wall_ms - start.wall_ms);
    cpu.push_back(end.cpu_ms - start.cpu_ms);
  }
  std::cout << "{\"case\": \"" << name << "\", \"wall_ms\": " << median(wall)
            << ", \"cpu_ms\": " << median(cpu) << ", \"value\": " << value << "}" << std::endl;
}

std::int64_t lowest_target() {
  std::int64_t target = hwy::SupportedTargets() & HWY_TARGETS;
  while ((target & (target - 1)) != 0) target &= target - 1;  // the highest bit is the lowest instruction set
  return target;
}

}  // namespace

int main() {
  at::set_num_threads(1);
  const std::int64_t lowest = lowest_target();
  std::string line;
  while (std::getline(std::cin, line)) {
    const Case what = parse(line);
    hwy::SetSupportedTargetsForTest(what.lowest ? lowest : 0);
    measure(line, what);
  }
  return 0;
}
