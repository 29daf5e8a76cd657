#include "distill/tasks/codebook_trainer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "data/seed.h"

namespace bitlaw::distill {
namespace {

constexpr double kSumUnit = 1.0 / (1 << 24);
constexpr int kValueBits = 24;
constexpr int kPriorityBits = 53 - kValueBits;  // together the integers that float64 holds exactly
constexpr double kNoCandidate = -1.0;

const float* floats(const at::Tensor& tensor) {
  return tensor.const_data_ptr<float>();
}

double encode(std::uint32_t priority, float value) {
  const std::uint32_t leading = std::bit_cast<std::uint32_t>(value) >> (32 - kValueBits);
  return static_cast<double>((std::uint64_t{priority} << kValueBits) | leading);
}

float decode(double encoded) {
  const auto leading =
      static_cast<std::uint32_t>(static_cast<std::uint64_t>(encoded) & ((1U << kValueBits) - 1));
  return std::bit_cast<float>(leading << (32 - kValueBits));
}

struct Draw {
  std::int64_t slot;  // which of the dead codes
  std::uint32_t priority;
};

Draw draw(const data::RandomKey& key, std::int64_t position, std::int64_t dead) {
  const auto words = data::philox(key, static_cast<std::uint64_t>(position));
  const std::uint64_t wide = (std::uint64_t{words[1]} << 32) | words[0];
  return {static_cast<std::int64_t>(wide % static_cast<std::uint64_t>(dead)),
          words[2] >> (32 - kPriorityBits)};
}

Assignment on_cpu(const Assignment& assignment) {
  return {assignment.vectors_NE.detach().to(at::kCPU, at::kFloat).contiguous(),
          assignment.codes_N.to(at::kCPU, at::kLong).contiguous(),
          assignment.sample_ids_B.to(at::kCPU, at::kLong).contiguous(), assignment.step};
}

}  // namespace

CodebookTrainer::CodebookTrainer(CodebookTensors tensors, const Options& options)
    : tensors_(std::move(tensors)),
      options_(options),
      fresh_count_(std::max(2.0 * options.dead_threshold, 1e-2)) {}

bool CodebookTrainer::initialised() const {
  return tensors_.counts_V.any().item<bool>();
}

double CodebookTrainer::alive_share() const {
  return tensors_.counts_V.ge(options_.dead_threshold).to(at::kDouble).mean().item<double>();
}

void CodebookTrainer::adopt_codes() {
  const at::NoGradGuard no_grad;
  const at::Tensor unknown = tensors_.counts_V.eq(0.0);
  tensors_.counts_V.masked_fill_(unknown, fresh_count_);
  tensors_.sums_VE.copy_(at::where(unknown.unsqueeze(1), tensors_.codes_VE * fresh_count_, tensors_.sums_VE));
}

std::vector<std::int64_t> CodebookTrainer::dead_codes() const {
  const bool all = !initialised();
  const at::Tensor counts = tensors_.counts_V.to(at::kCPU);
  std::vector<std::int64_t> dead;
  for (std::int64_t v = 0; v < counts.numel(); ++v) {
    if (all || floats(counts)[v] < options_.dead_threshold) {
      dead.push_back(v);
    }
  }
  return dead;
}

at::Tensor CodebookTrainer::candidates(const Assignment& assignment, std::int64_t dead) const {
  const std::int64_t channels = assignment.vectors_NE.size(1);
  const std::int64_t samples = assignment.sample_ids_B.numel();
  const std::int64_t positions = assignment.vectors_NE.size(0) / samples;
  at::Tensor best = at::full({dead, channels}, kNoCandidate, at::kDouble);
  auto* into = best.data_ptr<double>();
  const float* vector = floats(assignment.vectors_NE);
  for (std::int64_t b = 0; b < samples; ++b) {
    const auto sample = static_cast<std::uint64_t>(assignment.sample_ids_B.const_data_ptr<std::int64_t>()[b]);
    const data::RandomKey key{options_.seed, data::Purpose::codebook,
                              static_cast<std::uint64_t>(assignment.step), sample};
    for (std::int64_t position = 0; position < positions; ++position, vector += channels) {
      const Draw drawn = draw(key, position, dead);
      double* row = into + drawn.slot * channels;
      for (std::int64_t e = 0; e < channels; ++e) {
        row[e] = std::max(row[e], encode(drawn.priority, vector[e]));
      }
    }
  }
  return best;
}

quant::Statistics CodebookTrainer::collect(const Assignment& device_assignment) const {
  const Assignment assignment = on_cpu(device_assignment);
  const std::int64_t channels = assignment.vectors_NE.size(1);
  at::Tensor counts = at::zeros({tensors_.counts_V.numel()}, at::kDouble);
  at::Tensor sums = at::zeros({tensors_.counts_V.numel(), channels}, at::kDouble);
  const float* vector = floats(assignment.vectors_NE);
  const auto* code = assignment.codes_N.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < assignment.codes_N.numel(); ++i, vector += channels) {
    counts.data_ptr<double>()[code[i]] += 1.0;
    double* sum = sums.data_ptr<double>() + code[i] * channels;
    for (std::int64_t e = 0; e < channels; ++e) {
      sum[e] += std::nearbyint(static_cast<double>(vector[e]) / kSumUnit) * kSumUnit;
    }
  }
  quant::Statistics statistics;
  statistics.add("codebook/counts", counts);
  statistics.add("codebook/sums", sums);
  const auto dead = static_cast<std::int64_t>(dead_codes().size());
  if (dead > 0) {
    statistics.maximum("codebook/candidates", candidates(assignment, dead));
  }
  return statistics;
}

void CodebookTrainer::move_averages(const quant::Statistics& reduced) {
  const auto average = [&](at::Tensor& into, const at::Tensor& value) {
    const at::Tensor moved = into.to(at::kCPU, at::kDouble) * options_.decay + value * (1.0 - options_.decay);
    into.copy_(moved);
  };
  average(tensors_.counts_V, reduced.at("codebook/counts"));
  average(tensors_.sums_VE, reduced.at("codebook/sums"));
  const at::Tensor known = tensors_.counts_V.gt(0.0).unsqueeze(1);
  const at::Tensor mean = tensors_.sums_VE / tensors_.counts_V.unsqueeze(1);
  tensors_.codes_VE.copy_(at::where(known, mean, tensors_.codes_VE));
}

void CodebookTrainer::write_code(std::int64_t code, const at::Tensor& vector_E) {
  tensors_.codes_VE[code].copy_(vector_E);
  tensors_.counts_V[code].fill_(fresh_count_);
  tensors_.sums_VE[code].copy_(vector_E * fresh_count_);
}

void CodebookTrainer::update(const quant::Statistics& reduced) {
  const at::NoGradGuard no_grad;
  const bool first = !initialised();
  const std::vector<std::int64_t> dead = dead_codes();
  move_averages(reduced);
  if (dead.empty()) {
    return;
  }
  const at::Tensor& best = reduced.at("codebook/candidates");
  const at::Tensor counts = tensors_.counts_V.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  for (std::size_t i = 0; i < dead.size(); ++i) {
    const double* encoded = best.const_data_ptr<double>() + static_cast<std::int64_t>(i) * best.size(1);
    const bool still_dead = first || floats(counts)[dead[i]] < options_.dead_threshold;
    if (!still_dead || *encoded == kNoCandidate) {
      continue;
    }
    std::vector<float> vector(static_cast<std::size_t>(best.size(1)));
    std::transform(encoded, encoded + best.size(1), vector.begin(), decode);
    write_code(dead[i], at::tensor(vector));
  }
}

}  // namespace bitlaw::distill
