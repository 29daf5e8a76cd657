// One quantisation-aware step with TopKLD distillation of a VAR-shaped transformer, teacher forward included:
// width 256, depth 6, 4 heads, V 4096, 4 samples x 340 tokens, 4-bit weights in groups of 64 with learned
// scales, bfloat16 autocast, AdamW. One thread unless OMP_NUM_THREADS says otherwise; medians. The PyTorch
// side is peers/qat_step.py.
//
//   qat_step_bench [steps] [--default-allocator]
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "distill/losses/divergence.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "distill/task.h"
#include "quant/prepare.h"
#include "trainer/autocast.h"
#include "trainer/optimizer.h"

namespace {

using bitlaw::distill::Var;
// Milliseconds of processor time of this process since it started.
double processor_ms() {
  return static_cast<double>(std::clock()) * 1e3 / CLOCKS_PER_SEC;
}

double wall_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

constexpr std::int64_t kBatch = 4, kTokens = 340, kVocab = 4096, kWidth = 256, kDepth = 6;

bitlaw::distill::VarShape shape() {
  bitlaw::distill::VqConfig tokenizer;
  tokenizer.patch_nums = {1, 2, 3, 4, 6, 7, 9, 12};
  bitlaw::distill::ModelConfig model;
  model.depth = kDepth;
  model.width = kWidth;
  return var_shape(model, tokenizer, 1000);
}

bitlaw::quant::QuantConfig four_bits() {
  bitlaw::quant::QuantConfig config;
  config.method = bitlaw::quant::Method::lsq;
  config.scale_search = bitlaw::quant::ScaleSearch::absmax;
  config.weights.num_bits = 4;
  config.weights.strategy = bitlaw::quant::Strategy::group;
  config.weights.group_size = 64;
  config.ignore = {"head"};
  return config;
}

// Weights that matter everywhere: the published first values leave the gates almost closed.
std::shared_ptr<Var> make_model(std::uint64_t seed) {
  auto model = std::make_shared<Var>(shape());
  initialise(*model, /*ada_lin_gamma=*/1.0, seed);
  return model;
}

std::vector<bitlaw::distill::NamedParameter> parameters_of(Var& model) {
  std::vector<bitlaw::distill::NamedParameter> parameters;
  for (const auto& item : model.named_parameters())
    parameters.push_back({item.key(), item.value(), bitlaw::distill::role_of(item.key(), item.value())});
  return parameters;
}

enum Part { kTeacher, kStudent, kLoss, kBackward, kUpdate, kParts };
constexpr const char* kPartNames[] = {"teacher forward", "student forward", "TopKLD, value and gradient",
                                      "backward", "AdamW"};

class QatStep {
 public:
  QatStep() : teacher_(make_model(1)), student_(make_model(2)) {
    for (at::Tensor& parameter : teacher_->parameters()) parameter.set_requires_grad(false);
    prepare(*student_, four_bits(), bitlaw::quant::ScaleInit::from_weights);
    optimizer_ =
        std::make_unique<bitlaw::trainer::AdamW>(parameters_of(*student_), bitlaw::trainer::OptimConfig{});
    at::manual_seed(5);
    labels_B_ = at::randint(1000, {kBatch}, at::kLong);
    var_input_BLE_ = at::randn({kBatch, kTokens - 1, 32});
    weights_T_ = at::full({kBatch * kTokens}, 1.0 / static_cast<double>(kBatch * kTokens));
  }

  // Processor milliseconds of each part.
  std::vector<double> run() {
    double last = processor_ms();
    std::vector<double> parts;
    const auto lap = [&] {
      const double now = processor_ms();
      parts.push_back(now - last);
      last = now;
    };
    at::Tensor loss;
    {
      const bitlaw::trainer::Autocast autocast(bitlaw::trainer::Precision::bf16);
      const at::Tensor teacher_TV = teacher_logits();
      lap();
      const at::Tensor student_TV = student_->forward(labels_B_, var_input_BLE_).flatten(0, 1);
      lap();
      loss = divergence_fused(spec_, student_TV, teacher_TV, {}, weights_T_).weighted_sum;
      lap();
    }
    loss.backward();
    lap();
    optimizer_->update(step_++, 1.0, 1.0);
    student_->zero_grad();
    lap();
    return parts;
  }

 private:
  at::Tensor teacher_logits() {
    const at::NoGradGuard no_grad;
    return teacher_->forward(labels_B_, var_input_BLE_).flatten(0, 1);
  }

  std::shared_ptr<Var> teacher_, student_;
  std::unique_ptr<bitlaw::trainer::AdamW> optimizer_;
  bitlaw::distill::DivergenceSpec spec_;  // the default: TopKLD, K = 900
  at::Tensor labels_B_, var_input_BLE_, weights_T_;
  std::int64_t step_ = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double median_ms(const std::function<void()>& body) {
  std::vector<double> times;
  for (int i = 0; i < 15; ++i) {
    const double start = processor_ms();
    body();
    times.push_back(processor_ms() - start);
  }
  return median(times);
}

// Matrix products of the step: 12 C^2 a block and token, C V in the head; forward twice, backward twice the
// forward.
double gigaflop() {
  const double tokens = kBatch * kTokens, width = kWidth;
  return 4 * 2 * tokens * (12 * width * width * kDepth + width * kVocab) * 1e-9;
}

// GFLOP/s of the step's own products in bfloat16: the four of a block, in the proportion in which they occur.
double gemm_rate() {
  const at::NoGradGuard no_grad;
  double flops = 0, ms = 0;
  for (const auto& [in, out] :
       {std::pair<std::int64_t, std::int64_t>{256, 768}, {256, 256}, {256, 1024}, {1024, 256}}) {
    const at::Tensor x = at::randn({kBatch * kTokens, in}).to(at::kBFloat16);
    const at::Tensor w = at::randn({out, in}).to(at::kBFloat16);
    ms += median_ms([&] { at::linear(x, w); });
    flops += 2.0 * static_cast<double>(kBatch * kTokens * in * out);
  }
  return flops / ms * 1e-6;
}

void report(const std::vector<std::vector<double>>& times, const std::vector<double>& walls) {
  const double rate = gemm_rate(), ideal = gigaflop() / rate * 1e3;
  std::vector<double> totals;
  for (const auto& parts : times) {
    double total = 0;
    for (const double part : parts) total += part;
    totals.push_back(total);
  }
  std::printf("qat_step: %zu steps\n", times.size());
  for (std::size_t part = 0; part < kParts; ++part) {
    std::vector<double> column;
    for (const auto& parts : times) column.push_back(parts[part]);
    std::printf("  %-28s %8.1f ms\n", kPartNames[part], median(column));
  }
  std::printf("  %-28s %8.1f ms   (wall time %.1f)\n", "step", median(totals), median(walls));
  std::printf(
      "  %.1f GFLOP of matrix products at %.0f GFLOP/s (bfloat16, measured): %.1f ms, %.2f of the step\n",
      gigaflop(), rate, ideal, ideal / median(totals));
}

}  // namespace

int main(int argc, char** argv) {
  int steps = 15;
  bool tuned = true;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--default-allocator") == 0)
      tuned = false;
    else
      steps = std::atoi(argv[i]);
  }
  if (tuned) {  // as the binary does: freed pages are kept, for fresh ones are expensive on virtual machines
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  }
  QatStep step;
  std::vector<std::vector<double>> times;
  std::vector<double> walls;
  for (int i = 0; i < steps + 3; ++i) {
    const double start = wall_ms();
    std::vector<double> parts = step.run();
    if (i < 3) continue;
    times.push_back(std::move(parts));
    walls.push_back(wall_ms() - start);
  }
  report(times, walls);
  return 0;
}
