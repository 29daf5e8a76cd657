#include "trainer/optimizer.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/formats/input_error.h"

namespace bitlaw::trainer {

namespace {

using distill::NamedParameter;
using distill::ParameterRole;

std::vector<NamedParameter> parameters_of_each_role() {
  std::vector<NamedParameter> parameters;
  for (const auto role : {ParameterRole::weight, ParameterRole::no_decay, ParameterRole::quantizer_scale,
                          ParameterRole::clipping_value}) {
    const at::Tensor values = at::cos(at::arange(37, at::kFloat) + static_cast<double>(role));
    parameters.push_back(
        {std::string("p").append(std::to_string(static_cast<int>(role))), values.requires_grad_(true), role});
  }
  return parameters;
}

at::Tensor gradient_of(int step, std::size_t parameter) {
  return at::sin(at::arange(37, at::kFloat) * (step + 1.0) + static_cast<double>(parameter)) *
         std::pow(10.0, step % 3 - 1);
}

OptimConfig config() {
  OptimConfig c;
  c.lr = 0.01;
  c.scale_lr = 0.003;
  c.betas = {0.9, 0.95};
  c.eps = 1e-8;
  c.weight_decay = 0.1;
  return c;
}

// The formulas of the header in float64.
struct Reference {
  at::Tensor p, m, v;
  void update(int step, const at::Tensor& g, double lr, double decay, const OptimConfig& c) {
    const double t = step + 1;
    p = p - lr * decay * p;
    m = c.betas[0] * m + (1 - c.betas[0]) * g;
    v = c.betas[1] * v + (1 - c.betas[1]) * g * g;
    const at::Tensor m_hat = m / (1 - std::pow(c.betas[0], t));
    const at::Tensor v_hat = v / (1 - std::pow(c.betas[1], t));
    p = p - lr * m_hat / (v_hat.sqrt() + c.eps);
  }
};

}  // namespace

TEST(AdamW, FollowsItsFormulasWithTheGroupsOfItsRoles) {
  auto parameters = parameters_of_each_role();
  AdamW optimizer(parameters, config());
  std::vector<Reference> references;
  for (const auto& parameter : parameters) {
    const at::Tensor p = parameter.tensor.detach().to(at::kDouble);
    references.push_back({p, at::zeros_like(p), at::zeros_like(p)});
  }
  for (int step = 0; step < 8; ++step) {
    const double factor = 1.0 / (step + 1.0);
    const double clip = step == 4 ? 0.25 : 1.0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].tensor.mutable_grad() = gradient_of(step, i);
      const ParameterRole role = parameters[i].role;
      const bool is_scale = role == ParameterRole::quantizer_scale || role == ParameterRole::clipping_value;
      const bool decays = role == ParameterRole::weight || role == ParameterRole::clipping_value;
      references[i].update(step, gradient_of(step, i).to(at::kDouble) * clip,
                           factor * (is_scale ? 0.003 : 0.01), decays ? 0.1 : 0.0, config());
    }
    optimizer.update(step, factor, clip);
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(at::allclose(parameters[i].tensor.detach().to(at::kDouble), references[i].p, 5e-6, 1e-6))
        << i;
    EXPECT_TRUE(
        at::allclose(optimizer.state().at(std::string("exp_avg/p").append(std::to_string(i))).to(at::kDouble),
                     references[i].m, 1e-5, 1e-7));
    EXPECT_TRUE(at::allclose(
        optimizer.state().at(std::string("exp_avg_sq/p").append(std::to_string(i))).to(at::kDouble),
        references[i].v, 1e-5, 1e-9));
  }
}

TEST(AdamW, ScalesUseTheCommonRateWhenTheyHaveNone) {
  OptimConfig common = config();
  common.scale_lr = 0.0;
  auto parameters = parameters_of_each_role();
  const at::Tensor before = parameters[2].tensor.detach().clone();
  AdamW optimizer(parameters, common);
  for (auto& parameter : parameters) {
    parameter.tensor.mutable_grad() = at::ones({37});
  }
  optimizer.update(0, 1.0, 1.0);  // the first update is lr * sign(gradient)
  EXPECT_TRUE(at::allclose(before - parameters[2].tensor.detach(), at::full({37}, 0.01), 1e-4, 1e-6));
}

TEST(AdamW, ContinuesFromItsStateToTheBit) {
  auto straight = parameters_of_each_role();
  auto resumed = parameters_of_each_role();
  AdamW one(straight, config());
  AdamW first(resumed, config());
  const auto step_all = [](std::vector<NamedParameter>& parameters, AdamW& optimizer, int step) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].tensor.mutable_grad() = gradient_of(step, i);
    }
    optimizer.update(step, 1.0, 0.9);
  };
  for (int step = 0; step < 3; ++step) {
    step_all(straight, one, step);
    step_all(resumed, first, step);
  }
  AdamW second(resumed, config());
  second.load(first.state());
  for (int step = 3; step < 6; ++step) {
    step_all(straight, one, step);
    step_all(resumed, second, step);
  }
  for (std::size_t i = 0; i < straight.size(); ++i) {
    EXPECT_TRUE(at::equal(straight[i].tensor, resumed[i].tensor));
  }
}

TEST(AdamW, ForgetsTheMomentsOfWhatWasReplaced) {
  auto parameters = parameters_of_each_role();
  AdamW optimizer(parameters, config());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].tensor.mutable_grad() = gradient_of(0, i);
  }
  optimizer.update(0, 1.0, 1.0);
  optimizer.forget({parameters[2].name, "of nobody"}, 1);
  for (const auto& [name, moment] : optimizer.state()) {
    if (!name.starts_with("first_update/")) {
      EXPECT_EQ(moment.eq(0).all().item<bool>(), name.ends_with(parameters[2].name)) << name;
    }
  }
}

// What begins anew after 1000 updates moves as one that has just begun, and goes on so from a saved state.
TEST(AdamW, WhatBeginsAnewMovesAsInItsFirstUpdates) {
  OptimConfig slow = config();
  slow.betas = {0.9, 0.999};
  auto late = parameters_of_each_role();
  auto resumed = parameters_of_each_role();
  auto fresh = parameters_of_each_role();
  const auto step_scale = [](std::vector<NamedParameter>& parameters, AdamW& optimizer, int step, int of) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].tensor.mutable_grad() = gradient_of(of, i);
    }
    optimizer.update(step, 1.0, 1.0);
  };
  AdamW one(late, slow);
  one.forget({"p2"}, 1000);
  AdamW first(resumed, slow);
  first.forget({"p2"}, 1000);
  AdamW begun(fresh, slow);
  for (int step = 0; step < 20; ++step) {
    step_scale(late, one, 1000 + step, step);
    step_scale(fresh, begun, step, step);
  }
  EXPECT_TRUE(at::equal(late[2].tensor, fresh[2].tensor));
  EXPECT_FALSE(at::equal(late[0].tensor, fresh[0].tensor));  // its count goes on
  for (int step = 0; step < 7; ++step) {
    step_scale(resumed, first, 1000 + step, step);
  }
  EXPECT_EQ(first.state().at("first_update/p2").item<std::int64_t>(), 1000);
  AdamW second(resumed, slow);
  second.load(first.state());
  for (int step = 7; step < 20; ++step) {
    step_scale(resumed, second, 1000 + step, step);
  }
  for (std::size_t i = 0; i < late.size(); ++i) {
    EXPECT_TRUE(at::equal(late[i].tensor, resumed[i].tensor)) << i;
  }
  auto state = first.state();
  state["first_update/other"] = at::ones({1}, at::kLong);
  EXPECT_THROW(second.load(state), data::InputError);
}

TEST(AdamW, StateThatDoesNotFitIsNamed) {
  auto parameters = parameters_of_each_role();
  AdamW optimizer(parameters, config());
  auto state = optimizer.state();
  state.erase("exp_avg/p1");
  state["exp_avg/p2"] = at::zeros({5});
  state["exp_avg/other"] = at::zeros({37});
  try {
    optimizer.load(state);
    FAIL();
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("exp_avg/p1 is missing"));
    EXPECT_THAT(error.what(), testing::HasSubstr("exp_avg/p2 has shape [5] instead of [37]"));
    EXPECT_THAT(error.what(), testing::HasSubstr("exp_avg/other is not used"));
  }
}

TEST(ClipFactor, LimitsTheNorm) {
  EXPECT_EQ(clip_factor(0.5, 1.0), 1.0);
  EXPECT_NEAR(clip_factor(4.0, 1.0), 0.25, 1e-6);
  EXPECT_EQ(clip_factor(1e9, 0.0), 1.0);  // 0: no clipping
  EXPECT_EQ(clip_factor(0.0, 1.0), 1.0);
}

}  // namespace bitlaw::trainer
