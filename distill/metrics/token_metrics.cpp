#include "distill/metrics/token_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace bitlaw::distill {
namespace {

constexpr double kUnit = 1.0 / (1 << 22);
constexpr std::int64_t kChunkElements = 1 << 21;  // 16 MiB of float64 at a time

struct Sums {
  double cross_entropy = 0.0;
  double correct = 0.0;
  double kl_teacher_student = 0.0;
  double kl_student_teacher = 0.0;
  double agreement = 0.0;
};

double total(const at::Tensor& values) {
  return values.sum().item<double>();
}

void add_chunk(const at::Tensor& student_TV, const at::Tensor& teacher_TV, const at::Tensor& targets_T,
               Sums& sums) {
  const at::Tensor log_q = student_TV.to(at::kDouble).log_softmax(1);
  const at::Tensor best_q = student_TV.argmax(1);
  sums.cross_entropy -= total(log_q.gather(1, targets_T.unsqueeze(1)));
  sums.correct += total(best_q.eq(targets_T));
  if (!teacher_TV.defined()) {
    return;
  }
  const at::Tensor log_p = teacher_TV.to(at::kDouble).log_softmax(1);
  const at::Tensor difference = log_p - log_q;
  sums.kl_teacher_student += total(log_p.exp().mul_(difference));
  sums.kl_student_teacher -= total(log_q.exp().mul_(difference));
  sums.agreement += total(teacher_TV.argmax(1).eq(best_q));
}

}  // namespace

double exact_summand(double value) {
  return std::nearbyint(value / kUnit) * kUnit;
}

quant::Statistics token_metrics(const at::Tensor& student_TV, const at::Tensor& teacher_TV,
                                const at::Tensor& targets_T) {
  const at::NoGradGuard no_grad;
  const std::int64_t tokens = student_TV.size(0);
  const std::int64_t rows = std::max<std::int64_t>(1, kChunkElements / student_TV.size(1));
  Sums sums;
  for (std::int64_t first = 0; first < tokens; first += rows) {
    const std::int64_t count = std::min(rows, tokens - first);
    add_chunk(student_TV.narrow(0, first, count),
              teacher_TV.defined() ? teacher_TV.narrow(0, first, count) : at::Tensor(),
              targets_T.narrow(0, first, count), sums);
  }
  quant::Statistics statistics;
  statistics.add("cross_entropy_sum", exact_summand(sums.cross_entropy));
  statistics.add("correct", sums.correct);
  statistics.add("tokens", static_cast<double>(tokens));
  if (teacher_TV.defined()) {
    statistics.add("kl_teacher_student_sum", exact_summand(sums.kl_teacher_student));
    statistics.add("kl_student_teacher_sum", exact_summand(sums.kl_student_teacher));
    statistics.add("agreement", sums.agreement);
  }
  return statistics;
}

std::vector<std::pair<std::string, double>> token_report(const quant::Statistics& sums) {
  const double tokens = sums.scalar("tokens");
  const auto mean = [&](const char* name) { return sums.scalar(name) / tokens; };
  std::vector<std::pair<std::string, double>> figures = {{"cross_entropy", mean("cross_entropy_sum")}};
  if (sums.contains("agreement")) {
    figures.emplace_back("kl_teacher_student", mean("kl_teacher_student_sum"));
    figures.emplace_back("kl_student_teacher", mean("kl_student_teacher_sum"));
    figures.emplace_back("top1_agreement", mean("agreement"));
  }
  figures.emplace_back("accuracy", mean("correct"));
  return figures;
}

}  // namespace bitlaw::distill
