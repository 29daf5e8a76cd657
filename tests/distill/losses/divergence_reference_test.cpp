// The plain composition against sums written out by hand, central differences and closed forms, in float64.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/distill/losses/divergence_family.h"

namespace bitlaw::distill {
namespace {

using testing::Logits;
using testing::NamedSpec;

const at::TensorOptions kDouble = at::TensorOptions().dtype(at::kDouble);

at::Tensor loss_of(const DivergenceSpec& spec, const at::Tensor& student, const Logits& logits) {
  return divergence_reference(spec, student, logits.teacher, logits.targets);
}

at::Tensor gradient_of(const DivergenceSpec& spec, const Logits& logits) {
  at::Tensor student = logits.student.detach().clone().requires_grad_(true);
  loss_of(spec, student, logits).sum().backward();
  return student.grad();
}

at::Tensor log_of(std::vector<double> probabilities) {
  return at::tensor(probabilities, kDouble).log().unsqueeze(0);
}

// One token with p = (.6, .3, .1), q = (.5, .2, .3), K = 1: S = {0}.
double by_hand(Direction head, Direction tail, Norm norm) {
  DivergenceSpec spec{.top_k = 1, .head = head, .tail = tail, .norm = norm};
  spec.lambda_head = 2;
  spec.lambda_tail = 3;
  return divergence_reference(spec, log_of({.5, .2, .3}), log_of({.6, .3, .1}), {}).item<double>();
}

TEST(DivergenceReference, EqualsSumsWrittenOut) {
  const double head_forward = .6 * std::log(.6 / .5);
  const double head_reverse = .5 * std::log(.5 / .6);
  const double tail_forward = .3 * std::log(.3 / .2) + .1 * std::log(.1 / .3);
  const double tail_reverse = .2 * std::log(.2 / .3) + .3 * std::log(.3 / .1);
  const double mass_forward = .6 * std::log(.6 / .5) + .4 * std::log(.4 / .5);
  const double mass_reverse = .5 * std::log(.5 / .6) + .5 * std::log(.5 / .4);
  const double within_forward = .75 * std::log(.75 / .4) + .25 * std::log(.25 / .6);
  const double within_reverse = .4 * std::log(.4 / .75) + .6 * std::log(.6 / .25);
  const auto fwd = Direction::forward;
  const auto rev = Direction::reverse;
  const auto none = Direction::none;
  constexpr double kTolerance = 1e-14;
  EXPECT_NEAR(by_hand(fwd, rev, Norm::naive), 2 * head_forward + 3 * tail_reverse, kTolerance);
  EXPECT_NEAR(by_hand(rev, none, Norm::naive), 2 * head_reverse, kTolerance);
  EXPECT_NEAR(by_hand(fwd, rev, Norm::generalised),
              2 * (head_forward + .5 - .6) + 3 * (tail_reverse + .4 - .5), kTolerance);
  EXPECT_NEAR(by_hand(rev, fwd, Norm::generalised),
              2 * (head_reverse + .6 - .5) + 3 * (tail_forward + .5 - .4), kTolerance);
  EXPECT_NEAR(by_hand(none, fwd, Norm::generalised), 3 * (tail_forward + .5 - .4), kTolerance);
  EXPECT_NEAR(by_hand(fwd, rev, Norm::conditional), 2 * mass_forward + 3 * .5 * within_reverse, kTolerance);
  EXPECT_NEAR(by_hand(rev, fwd, Norm::conditional), 2 * mass_reverse + 3 * .4 * within_forward, kTolerance);
  EXPECT_NEAR(by_hand(none, rev, Norm::conditional), 3 * mass_reverse + 3 * .5 * within_reverse, kTolerance);
  EXPECT_NEAR(by_hand(fwd, rev, Norm::ghost), 2 * mass_forward, kTolerance);
}

TEST(DivergenceReference, BaselinesEqualSumsWrittenOut) {
  const std::vector<double> p = {.6, .3, .1};
  const std::vector<double> q = {.5, .2, .3};
  const auto divergence = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * std::log(a[i] / b[i]);
    return sum;
  };
  const auto mixture = [&](double of_p) {
    std::vector<double> m;
    for (std::size_t i = 0; i < p.size(); ++i) m.push_back(of_p * p[i] + (1 - of_p) * q[i]);
    return m;
  };
  const auto loss = [&](Loss which) {
    DivergenceSpec spec{.loss = which, .top_k = 0};
    spec.beta = .3;
    spec.alpha = .1;
    return divergence_reference(spec, log_of(q), log_of(p), at::tensor({1L})).item<double>();
  };
  const double forward = divergence(p, q);
  const double reverse = divergence(q, p);
  constexpr double kTolerance = 1e-14;
  EXPECT_NEAR(loss(Loss::forward_kl), forward, kTolerance);
  EXPECT_NEAR(loss(Loss::reverse_kl), reverse, kTolerance);
  EXPECT_NEAR(loss(Loss::cakld), .3 * reverse + .7 * forward, kTolerance);
  EXPECT_NEAR(loss(Loss::jsd), .3 * divergence(p, mixture(.3)) + .7 * divergence(q, mixture(.3)), kTolerance);
  EXPECT_NEAR(loss(Loss::skew_forward_kl), divergence(p, mixture(.1)), kTolerance);
  EXPECT_NEAR(loss(Loss::skew_reverse_kl), divergence(q, mixture(.9)), kTolerance);
  EXPECT_NEAR(loss(Loss::cross_entropy), -std::log(.2), kTolerance);
  // The head is class 0 (its mass is above .5 already); |p - q| = (.1, .1, .2).
  EXPECT_NEAR(loss(Loss::akl), .25 * forward + .75 * reverse, kTolerance);
  const double squares =
      std::pow(std::log(.5 / .6), 2) + std::pow(std::log(.2 / .3), 2) + std::pow(std::log(3), 2);
  EXPECT_NEAR(loss(Loss::mse), squares / 3, kTolerance);
}

TEST(DivergenceReference, GradientsEqualCentralDifferences) {
  const Logits logits = testing::random_logits(3, 9, 1);
  for (NamedSpec each : testing::whole_family(4)) {
    if (each.spec.loss == Loss::akl) continue;  // its weights are constants for the gradient, see below
    for (const double temperature : {1.0, 2.5}) {
      SCOPED_TRACE(each.name);
      each.spec.temperature = temperature;
      const at::Tensor gradient = gradient_of(each.spec, logits);
      for (std::int64_t i = 0; i < logits.student.size(1); ++i) {
        at::Tensor step = at::zeros_like(logits.student);
        step.select(1, i).fill_(1e-5);
        const at::Tensor difference = (loss_of(each.spec, logits.student + step, logits) -
                                       loss_of(each.spec, logits.student - step, logits)) /
                                      2e-5;
        EXPECT_LT((difference - gradient.select(1, i)).abs().max().item<double>(), 2e-9);
      }
    }
  }
}

TEST(DivergenceReference, AdaptiveWeightsAreConstants) {
  const Logits logits = testing::random_logits(5, 20, 1);
  const DivergenceSpec forward{.loss = Loss::forward_kl};
  const DivergenceSpec reverse{.loss = Loss::reverse_kl};
  const DivergenceSpec adaptive{.loss = Loss::akl};
  const at::Tensor f = loss_of(forward, logits.student, logits);
  const at::Tensor r = loss_of(reverse, logits.student, logits);
  const at::Tensor share = ((loss_of(adaptive, logits.student, logits) - r) / (f - r)).unsqueeze(-1);
  EXPECT_TRUE(((share > 0) & (share < 1)).all().item<bool>());
  const at::Tensor expected =
      share * gradient_of(forward, logits) + (1 - share) * gradient_of(reverse, logits);
  EXPECT_TRUE(at::allclose(gradient_of(adaptive, logits), expected, 1e-9, 1e-12));
}

double largest_difference(const DivergenceSpec& a, const DivergenceSpec& b) {
  const Logits logits = testing::random_logits(6, 40, 9);
  const at::Tensor loss = loss_of(a, logits.student, logits) - loss_of(b, logits.student, logits);
  const at::Tensor gradient = gradient_of(a, logits) - gradient_of(b, logits);
  return std::max(loss.abs().max().item<double>(), gradient.abs().max().item<double>());
}

TEST(DivergenceReference, OneSetOfAllClassesIsTheFullDivergence) {
  const DivergenceSpec full[] = {{.loss = Loss::forward_kl}, {.loss = Loss::reverse_kl}};
  for (const Norm norm : {Norm::naive, Norm::generalised, Norm::conditional, Norm::ghost}) {
    for (const bool forward : {true, false}) {
      const Direction direction = forward ? Direction::forward : Direction::reverse;
      const Direction other = forward ? Direction::reverse : Direction::forward;
      SCOPED_TRACE(std::string(data::enum_name(norm)) + " " + std::string(data::enum_name(direction)));
      const DivergenceSpec everything{.top_k = 40, .head = direction, .tail = other, .norm = norm};
      EXPECT_LT(largest_difference(everything, full[forward ? 0 : 1]), 1e-13);
      if (norm == Norm::ghost) continue;
      const DivergenceSpec nothing{.top_k = 0, .head = other, .tail = direction, .norm = norm};
      EXPECT_LT(largest_difference(nothing, full[forward ? 0 : 1]), 1e-13);
    }
  }
}

TEST(DivergenceReference, GhostWithoutAHeadIsZero) {
  const Logits logits = testing::random_logits(4, 30, 9);
  const DivergenceSpec spec{.top_k = 0, .norm = Norm::ghost};
  EXPECT_LT(loss_of(spec, logits.student, logits).abs().max().item<double>(), 1e-13);
  EXPECT_LT(gradient_of(spec, logits).abs().max().item<double>(), 1e-13);
}

TEST(DivergenceReference, OneDirectionDecomposesTheFullDivergence) {
  for (const Norm norm : {Norm::naive, Norm::generalised, Norm::conditional}) {
    for (const bool forward : {true, false}) {
      const Direction direction = forward ? Direction::forward : Direction::reverse;
      const DivergenceSpec parts{.top_k = 11, .head = direction, .tail = direction, .norm = norm};
      EXPECT_LT(largest_difference(parts, {.loss = forward ? Loss::forward_kl : Loss::reverse_kl}), 1e-13);
    }
  }
}

TEST(DivergenceReference, OnlyTheNaiveNormPullsAwayFromTheTeacher) {
  Logits logits = testing::random_logits(4, 30, 6);
  logits.student = logits.teacher + 2;
  double largest_naive = 0;
  for (const NamedSpec& each : testing::whole_family(8)) {
    if (each.spec.loss == Loss::cross_entropy || each.spec.loss == Loss::mse) continue;
    SCOPED_TRACE(each.name);
    const double gradient = gradient_of(each.spec, logits).abs().max().item<double>();
    const bool naive = each.spec.loss == Loss::topkld && each.spec.norm == Norm::naive;
    if (naive) {
      largest_naive = std::max(largest_naive, gradient);
    } else {
      EXPECT_LT(gradient, 1e-14);
    }
  }
  EXPECT_GT(largest_naive, 0.01);
}

TEST(DivergenceReference, ProperNormsAreNeverNegative) {
  const Logits logits = testing::random_logits(200, 12, 7);
  for (const NamedSpec& each : testing::topkld_family(5)) {
    if (each.spec.norm == Norm::naive) continue;
    SCOPED_TRACE(each.name);
    EXPECT_GE(loss_of(each.spec, logits.student, logits).min().item<double>(), 0);
  }
}

TEST(DivergenceReference, EqualLogitsEnterTheHeadByLowerIndex) {
  Logits logits;
  logits.teacher = at::tensor({1.0, 2.0, 1.0, 1.0, 1.0}, kDouble).unsqueeze(0);
  logits.student = at::tensor({0.3, -1.0, 0.8, 0.1, 2.0}, kDouble).unsqueeze(0);
  const DivergenceSpec spec{.top_k = 3, .tail = Direction::none, .norm = Norm::naive};  // S = {1, 0, 2}
  const at::Tensor lp = logits.teacher.log_softmax(-1);
  const at::Tensor lq = logits.student.log_softmax(-1);
  const double expected = (lp.exp() * (lp - lq)).slice(-1, 0, 3).sum().item<double>();
  EXPECT_NEAR(loss_of(spec, logits.student, logits).item<double>(), expected, 1e-14);
}

TEST(DivergenceReference, TemperatureSoftensBothAndKeepsTheScaleOfGradients) {
  const Logits logits = testing::random_logits(4, 30, 3);
  const Logits halved{logits.student / 2, logits.teacher / 2, logits.targets};
  for (NamedSpec each : testing::whole_family(8)) {
    if (each.spec.loss == Loss::mse || each.spec.loss == Loss::cross_entropy) continue;
    SCOPED_TRACE(each.name);
    const at::Tensor cold = loss_of(each.spec, halved.student, halved);
    each.spec.temperature = 2;
    EXPECT_TRUE(at::allclose(loss_of(each.spec, logits.student, logits), 4 * cold, 1e-12, 1e-14));
  }
}

TEST(DivergenceReference, MseAndCrossEntropyHaveNoTemperature) {
  const Logits logits = testing::random_logits(4, 30, 3);
  for (const Loss loss : {Loss::mse, Loss::cross_entropy}) {
    DivergenceSpec spec{.loss = loss};
    const at::Tensor cold = loss_of(spec, logits.student, logits);
    spec.temperature = 3;
    EXPECT_TRUE(at::equal(loss_of(spec, logits.student, logits), cold));
  }
}

}  // namespace
}  // namespace bitlaw::distill
