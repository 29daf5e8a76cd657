// The fused kernel against the plain composition in double precision: two implementations that share nothing.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/distill/losses/divergence_family.h"

namespace bitlaw::distill {
namespace {

using testing::Logits;
using testing::NamedSpec;

at::Tensor random_weights(std::int64_t tokens) {
  at::Generator generator = at::detail::createCPUGenerator(11);
  return at::rand({tokens}, generator, at::TensorOptions().dtype(at::kFloat)) / static_cast<double>(tokens);
}

struct Result {
  at::Tensor per_token, gradient;
};

Result expected(const DivergenceSpec& spec, const Logits& logits, const at::Tensor& weights) {
  at::Tensor student = logits.student.to(at::kDouble).detach().requires_grad_(true);
  const at::Tensor loss = divergence_reference(spec, student, logits.teacher.to(at::kDouble), logits.targets);
  (loss * weights.to(at::kDouble)).sum().backward();
  return {loss.detach(), student.grad()};
}

Result fused(const DivergenceSpec& spec, const Logits& logits, const at::Tensor& weights) {
  at::Tensor student = logits.student.detach().requires_grad_(true);
  const DivergenceOutput output = divergence_fused(spec, student, logits.teacher, logits.targets, weights);
  output.weighted_sum.backward();
  return {output.per_token, student.grad()};
}

// Loss per token and gradient over its weight, to absolute errors in units of probabilities.
void compare(const std::string& what, const DivergenceSpec& spec, const Logits& logits, double tolerance) {
  SCOPED_TRACE(what);
  const at::Tensor weights = random_weights(logits.student.size(0));
  const Result want = expected(spec, logits, weights);
  const Result have = fused(spec, logits, weights);
  const double loss_scale = want.per_token.abs().max().item<double>() + 1;
  EXPECT_LT((have.per_token - want.per_token).abs().max().item<double>(), 1e-5 * loss_scale);
  ASSERT_EQ(have.gradient.scalar_type(), logits.student.scalar_type());
  const at::Tensor row_scale =
      want.gradient.abs().amax(-1, true) + 1e-4 * weights.unsqueeze(-1).to(at::kDouble);
  EXPECT_LT(((have.gradient - want.gradient).abs() / row_scale).max().item<double>(), tolerance);
}

std::string name_of(const NamedSpec& each, std::int64_t classes, double temperature) {
  return each.name + ", " + std::to_string(classes) + " classes, K " + std::to_string(each.spec.top_k) +
         ", T " + std::to_string(temperature);
}

void compare_family(std::int64_t tokens, std::int64_t classes, std::int64_t top_k, double temperature,
                    at::ScalarType student_type, at::ScalarType teacher_type) {
  Logits logits = testing::random_logits(tokens, classes, 5);
  logits.student = logits.student.to(student_type);
  logits.teacher = logits.teacher.to(teacher_type);
  const double tolerance = student_type == at::kBFloat16 ? 4.1e-3 : 3e-5;  // bfloat16: half a unit of 2^-7
  for (NamedSpec each : testing::whole_family(top_k)) {
    each.spec.temperature = temperature;
    compare(name_of(each, classes, temperature), each.spec, logits, tolerance);
  }
}

TEST(DivergenceFused, EqualsTheReferenceForEveryVocabularySize) {
  compare_family(3, 1, 1, 1.0, at::kFloat, at::kFloat);
  compare_family(5, 7, 3, 1.0, at::kFloat, at::kFloat);
  compare_family(4, 255, 56, 1.0, at::kFloat, at::kFloat);
  compare_family(4, 256, 56, 1.0, at::kFloat, at::kFloat);
  compare_family(2, 4096, 900, 1.0, at::kFloat, at::kFloat);
}

TEST(DivergenceFused, EqualsTheReferenceForEveryHeadSize) {
  for (const std::int64_t top_k : {0, 1, 20, 63, 64})
    compare_family(3, 64, top_k, 1.0, at::kFloat, at::kFloat);
}

TEST(DivergenceFused, EqualsTheReferenceForEveryTemperature) {
  for (const double temperature : {0.5, 2.0, 7.3}) {
    compare_family(3, 255, 56, temperature, at::kFloat, at::kFloat);
  }
}

TEST(DivergenceFused, EqualsTheReferenceForEveryMixtureOfTypes) {
  compare_family(3, 255, 56, 1.0, at::kBFloat16, at::kBFloat16);
  compare_family(3, 256, 56, 2.0, at::kBFloat16, at::kFloat);
  compare_family(3, 256, 56, 1.0, at::kFloat, at::kBFloat16);
}

TEST(DivergenceFused, SumsTheTokensByWeight) {
  const Logits logits = testing::random_logits(30, 20, 3);
  const at::Tensor weights = random_weights(30);
  const DivergenceOutput output = divergence_fused({.loss = Loss::forward_kl}, logits.student.to(at::kFloat),
                                                   logits.teacher.to(at::kFloat), {}, weights);
  const double sum = (output.per_token.to(at::kDouble) * weights.to(at::kDouble)).sum().item<double>();
  EXPECT_NEAR(output.weighted_sum.item<double>(), sum, 1e-7 * sum);
}

TEST(DivergenceFused, ScalesByTheIncomingGradient) {
  const Logits logits = testing::random_logits(4, 48, 2);
  const at::Tensor weights = random_weights(4);
  const DivergenceSpec spec{.top_k = 10};
  at::Tensor once = logits.student.to(at::kFloat).requires_grad_(true);
  at::Tensor scaled = once.detach().clone().requires_grad_(true);
  const at::Tensor teacher = logits.teacher.to(at::kFloat);
  divergence_fused(spec, once, teacher, {}, weights).weighted_sum.backward();
  (divergence_fused(spec, scaled, teacher, {}, weights).weighted_sum * -4).backward();
  EXPECT_TRUE(at::equal(scaled.grad(), once.grad() * -4));
}

TEST(DivergenceFused, PassesTheGradientThroughWhatMadeTheLogits) {
  const Logits logits = testing::random_logits(4, 48, 2);
  at::Tensor half = (logits.student / 2).to(at::kFloat).requires_grad_(true);
  at::Tensor whole = logits.student.to(at::kFloat).requires_grad_(true);
  const at::Tensor teacher = logits.teacher.to(at::kFloat);
  const at::Tensor weights = random_weights(4);
  const DivergenceSpec spec{.loss = Loss::jsd};
  divergence_fused(spec, half * 2, teacher, {}, weights).weighted_sum.backward();
  divergence_fused(spec, whole, teacher, {}, weights).weighted_sum.backward();
  EXPECT_TRUE(at::allclose(half.grad(), 2 * whole.grad()));
}

TEST(DivergenceFused, RunsBackwardOnce) {
  const Logits logits = testing::random_logits(2, 16, 2);
  at::Tensor student = logits.student.to(at::kFloat).requires_grad_(true);
  const DivergenceOutput output =
      divergence_fused({.top_k = 4}, student, logits.teacher.to(at::kFloat), {}, at::ones({2}));
  output.weighted_sum.backward({}, /*retain_graph=*/true);
  try {
    output.weighted_sum.backward();
    FAIL() << "ran twice";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("ran twice through one fused divergence"));
  }
}

TEST(DivergenceFused, MakesNoGraphWithoutAStudentThatNeedsOne) {
  const Logits logits = testing::random_logits(3, 40, 2);
  const at::Tensor student = logits.student.to(at::kFloat);
  const at::Tensor teacher = logits.teacher.to(at::kFloat);
  const DivergenceOutput output = divergence_fused({.top_k = 9}, student, teacher, {}, at::ones({3}));
  EXPECT_FALSE(output.weighted_sum.requires_grad());
  const at::Tensor tracked = student.clone().requires_grad_(true);
  const DivergenceOutput with_graph = divergence_fused({.top_k = 9}, tracked, teacher, {}, at::ones({3}));
  EXPECT_TRUE(at::equal(output.per_token, with_graph.per_token));
  EXPECT_FALSE(with_graph.per_token.requires_grad());
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(
      divergence_fused({.top_k = 9}, tracked, teacher, {}, at::ones({3})).weighted_sum.requires_grad());
}

TEST(DivergenceFused, IsTheSameForAnyNumberOfThreads) {
  const Logits logits = testing::random_logits(37, 250, 8);
  const at::Tensor weights = random_weights(37);
  const Logits floats{logits.student.to(at::kFloat), logits.teacher.to(at::kFloat), logits.targets};
  const DivergenceSpec spec{.top_k = 50, .set_source = SetSource::union_of_both};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Result one = fused(spec, floats, weights);
  at::set_num_threads(3);
  const Result three = fused(spec, floats, weights);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one.per_token, three.per_token));
  EXPECT_TRUE(at::equal(one.gradient, three.gradient));
}

TEST(DivergenceFused, NamesWhatDoesNotFit) {
  const at::Tensor logits = at::zeros({2, 8});
  const at::Tensor weights = at::ones({2});
  const auto message = [&](const DivergenceSpec& spec, const at::Tensor& student, const at::Tensor& teacher,
                           const at::Tensor& targets) -> std::string {
    try {
      divergence_fused(spec, student, teacher, targets, weights);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "accepted";
  };
  using ::testing::HasSubstr;
  const DivergenceSpec spec{.top_k = 3};
  EXPECT_THAT(message(spec, logits, at::zeros({2, 9}), {}), HasSubstr("differ in shape"));
  EXPECT_THAT(message(spec, logits.to(at::kDouble), logits, {}),
              HasSubstr("float32 or bfloat16, not Double"));
  EXPECT_THAT(message(spec, logits, logits.t().contiguous().t(), {}),
              HasSubstr("teacher logits must be contiguous"));
  EXPECT_THAT(message(spec, logits, {}, {}), HasSubstr("needs teacher logits"));
  EXPECT_THAT(message({.top_k = 9}, logits, logits, {}), HasSubstr("top_k 9 of 8 classes"));
  const DivergenceSpec entropy{.loss = Loss::cross_entropy};
  EXPECT_THAT(message(entropy, logits, {}, {}), HasSubstr("targets must be"));
  const at::Tensor targets = at::tensor({0L, 8L});
  EXPECT_THAT(message(entropy, logits, {}, targets), HasSubstr("target 8 of token 1 is outside"));
}

TEST(DivergenceFused, ALogitThatIsNoNumberSpoilsItsTokenOnly) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const NamedSpec& each : testing::whole_family(10)) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity}) {
      SCOPED_TRACE(each.name + " with " + std::to_string(bad));
      Logits logits = testing::random_logits(3, 100, 4);
      logits.student = logits.student.to(at::kFloat);
      logits.teacher = logits.teacher.to(at::kFloat);
      logits.student[1][17] = bad;
      const Result result = fused(each.spec, logits, at::ones({3}));
      EXPECT_FALSE(std::isfinite(result.per_token[1].item<float>()));
      EXPECT_TRUE(result.gradient[0].isfinite().all().item<bool>());
      EXPECT_TRUE(result.gradient[2].isfinite().all().item<bool>());
    }
  }
}

}  // namespace
}  // namespace bitlaw::distill
