// Token metrics against numbers computed by hand.
#include "distill/metrics/token_metrics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bitlaw::distill {
namespace {

std::map<std::string, double> as_map(const std::vector<std::pair<std::string, double>>& figures) {
  return {figures.begin(), figures.end()};
}

// q = (1/2, 1/4, 1/4), p = (1/4, 1/2, 1/4): logits are logarithms plus a constant.
const at::Tensor& student() {
  static const at::Tensor logits = at::log(at::tensor({0.5, 0.25, 0.25}, at::kFloat)).unsqueeze(0) + 3.0;
  return logits;
}
const at::Tensor& teacher() {
  static const at::Tensor logits = at::log(at::tensor({0.25, 0.5, 0.25}, at::kFloat)).unsqueeze(0) - 1.0;
  return logits;
}

TEST(TokenMetrics, OneTokenByHand) {
  const auto sums = token_metrics(student(), teacher(), at::tensor({std::int64_t{1}}));
  auto figures = as_map(token_report(sums));
  const double ln2 = std::log(2.0);
  EXPECT_NEAR(figures.at("cross_entropy"), 2.0 * ln2, 1e-6);                     // -ln 1/4
  EXPECT_NEAR(figures.at("kl_teacher_student"), 0.25 * -ln2 + 0.5 * ln2, 1e-6);  // ln2 / 4
  EXPECT_NEAR(figures.at("kl_student_teacher"), 0.5 * ln2 + 0.25 * -ln2, 1e-6);  // ln2 / 4
  EXPECT_EQ(figures.at("top1_agreement"), 0.0);
  EXPECT_EQ(figures.at("accuracy"), 0.0);
}

TEST(TokenMetrics, DirectionsDiffer) {
  // p = (1/2, 1/2), q = (1/4, 3/4): KL(p||q) = ln 2 / 2 + ln(2/3) / 2, KL(q||p) = ln(1/2) / 4 + 3 ln(3/2)
  // / 4.
  const at::Tensor q = at::log(at::tensor({0.25, 0.75}, at::kDouble)).unsqueeze(0);
  const at::Tensor p = at::log(at::tensor({0.5, 0.5}, at::kDouble)).unsqueeze(0);
  auto figures = as_map(token_report(token_metrics(q, p, at::tensor({std::int64_t{1}}))));
  EXPECT_NEAR(figures.at("kl_teacher_student"), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0), 1e-6);
  EXPECT_NEAR(figures.at("kl_student_teacher"), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-6);
  EXPECT_EQ(figures.at("accuracy"), 1.0);
  EXPECT_EQ(figures.at("top1_agreement"), 0.0);  // the teacher's tie goes to the lower index
}

TEST(TokenMetrics, WithoutATeacherOnlyTheFirstAndAccuracy) {
  const auto figures = token_report(token_metrics(student(), at::Tensor(), at::tensor({std::int64_t{0}})));
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_EQ(figures[0].first, "cross_entropy");
  EXPECT_EQ(figures[1], (std::pair<std::string, double>{"accuracy", 1.0}));
}

TEST(TokenMetrics, EqualNetworksHaveNoDivergence) {
  const at::Tensor logits = at::randn({7, 11}) * 30.0;  // some probabilities underflow in float32
  auto figures = as_map(token_report(token_metrics(logits, logits, at::zeros({7}, at::kLong))));
  EXPECT_EQ(figures.at("kl_teacher_student"), 0.0);
  EXPECT_EQ(figures.at("kl_student_teacher"), 0.0);
  EXPECT_EQ(figures.at("top1_agreement"), 1.0);
}

TEST(TokenMetrics, UnderflowingProbabilitiesStayFinite) {
  const at::Tensor far = at::tensor({0.0F, -2000.0F}).unsqueeze(0);
  const at::Tensor near = at::tensor({0.0F, 0.0F}).unsqueeze(0);
  auto figures = as_map(token_report(token_metrics(near, far, at::tensor({std::int64_t{0}}))));
  EXPECT_NEAR(figures.at("kl_teacher_student"), std::log(2.0), 1e-6);
  EXPECT_NEAR(figures.at("kl_student_teacher"), 1000.0 - std::log(2.0), 1e-3);
}

// Any split over calls and any order of merging gives the same bits.
TEST(TokenMetrics, SumsOfPartsDoNotDependOnTheOrder) {
  const at::Tensor q = at::randn({90, 17});
  const at::Tensor p = at::randn({90, 17});
  const at::Tensor y = at::randint(17, {90}, at::kLong);
  std::vector<quant::Statistics> parts;
  for (int i = 0; i < 9; ++i) {
    parts.push_back(token_metrics(q.narrow(0, i * 10, 10), p.narrow(0, i * 10, 10), y.narrow(0, i * 10, 10)));
  }
  quant::Statistics forwards = parts[0];
  for (int i = 1; i < 9; ++i) {
    forwards.merge(parts[static_cast<std::size_t>(i)]);
  }
  quant::Statistics even = parts[0];
  quant::Statistics odd = parts[1];
  for (int i = 2; i < 9; ++i) {
    (i % 2 == 0 ? even : odd).merge(parts[static_cast<std::size_t>(i)]);
  }
  odd.merge(even);
  for (const char* name :
       {"cross_entropy_sum", "kl_teacher_student_sum", "kl_student_teacher_sum", "tokens"}) {
    EXPECT_EQ(forwards.scalar(name), odd.scalar(name)) << name;
  }
  const auto whole = token_metrics(q, p, y);
  EXPECT_NEAR(forwards.scalar("cross_entropy_sum"), whole.scalar("cross_entropy_sum"), 1e-5);
}

TEST(TokenMetrics, ChunksOfALargeVocabularyAddUp) {
  const std::int64_t vocabulary = 1 << 20;  // two rows a chunk
  const at::Tensor q = at::randn({5, vocabulary});
  const at::Tensor y = at::arange(5, at::kLong);
  const double expected = -q.to(at::kDouble).log_softmax(1).gather(1, y.unsqueeze(1)).sum().item<double>();
  EXPECT_NEAR(token_metrics(q, at::Tensor(), y).scalar("cross_entropy_sum"), expected, 1e-6);
}

TEST(ExactSummand, IsTheNearestMultiple) {
  EXPECT_EQ(exact_summand(1.0), 1.0);
  EXPECT_EQ(exact_summand(0.6 / (1 << 22)), 1.0 / (1 << 22));
  EXPECT_EQ(exact_summand(0.4 / (1 << 22)), 0.0);
}

}  // namespace
}  // namespace bitlaw::distill
