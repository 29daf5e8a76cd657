#include "trainer/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "trainer/named_tensors.h"

namespace bitlaw::trainer {

namespace {

using distill::ParameterRole;

constexpr std::array<ParameterRole, 4> kRoles = {ParameterRole::weight, ParameterRole::no_decay,
                                                 ParameterRole::quantizer_scale,
                                                 ParameterRole::clipping_value};

constexpr const char* kFirstUpdate = "first_update/";

bool moves_like_a_scale(ParameterRole role) {
  return role == ParameterRole::quantizer_scale || role == ParameterRole::clipping_value;
}

bool decays(ParameterRole role) {
  return role == ParameterRole::weight || role == ParameterRole::clipping_value;
}

}  // namespace

AdamW::AdamW(const std::vector<distill::NamedParameter>& parameters, const OptimConfig& config)
    : config_(config) {
  for (const ParameterRole role : kRoles) {
    Group group;
    group.lr = moves_like_a_scale(role) && config.scale_lr > 0.0 ? config.scale_lr : config.lr;
    group.weight_decay = decays(role) ? config.weight_decay : 0.0;
    for (const distill::NamedParameter& parameter : parameters) {
      if (parameter.role == role) {
        group.names.push_back(parameter.name);
        group.parameters.push_back(parameter.tensor);
        group.exp_avg.push_back(at::zeros_like(parameter.tensor, at::TensorOptions().requires_grad(false)));
        group.exp_avg_sq.push_back(
            at::zeros_like(parameter.tensor, at::TensorOptions().requires_grad(false)));
        group.first_update.push_back(0);
      }
    }
    if (!group.names.empty()) {
      groups_.push_back(std::move(group));
    }
  }
}

void AdamW::update(std::int64_t step, double lr_factor, double gradient_factor) {
  const at::NoGradGuard no_grad;
  const at::Tensor count = at::full({}, static_cast<double>(step + 1), at::kFloat);
  std::optional<at::Tensor> divisor;
  if (gradient_factor != 1.0) {
    divisor = at::full({}, 1.0 / gradient_factor, at::kFloat);
  }
  for (Group& group : groups_) {
    std::vector<at::Tensor> gradients;
    gradients.reserve(group.parameters.size());
    for (const at::Tensor& parameter : group.parameters) {
      gradients.push_back(parameter.grad());
    }
    std::vector<at::Tensor> counts;  // the kernel counts up nothing itself
    counts.reserve(group.parameters.size());
    for (const std::int64_t first : group.first_update) {
      counts.push_back(first == 0 ? count : count - static_cast<double>(first));
    }
    at::_fused_adamw_(group.parameters, gradients, group.exp_avg, group.exp_avg_sq, {}, counts,
                      group.lr * lr_factor, config_.betas[0], config_.betas[1], group.weight_decay,
                      config_.eps,
                      /*amsgrad=*/false, /*maximize=*/false, divisor);
  }
}

std::map<std::string, at::Tensor> AdamW::moments() const {
  std::map<std::string, at::Tensor> state;
  for (const Group& group : groups_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      state.emplace("exp_avg/" + group.names[i], group.exp_avg[i]);
      state.emplace("exp_avg_sq/" + group.names[i], group.exp_avg_sq[i]);
    }
  }
  return state;
}

std::map<std::string, at::Tensor> AdamW::state() const {
  std::map<std::string, at::Tensor> state = moments();
  for (const Group& group : groups_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      if (group.first_update[i] != 0) {
        state.emplace(kFirstUpdate + group.names[i], at::full({1}, group.first_update[i], at::kLong));
      }
    }
  }
  return state;
}

void AdamW::load(const std::map<std::string, at::Tensor>& state) {
  NamedTensors rest = state;
  std::map<std::string, std::int64_t> first_updates;
  for (const Group& group : groups_) {
    for (const std::string& name : group.names) {
      const auto found = rest.find(kFirstUpdate + name);
      if (found != rest.end() && found->second.numel() == 1) {
        first_updates[name] = found->second.item<std::int64_t>();
        rest.erase(found);
      }
    }
  }
  copy_by_name(moments(), rest, "the optimiser's state");
  for (Group& group : groups_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      group.first_update[i] = first_updates[group.names[i]];
    }
  }
}

void AdamW::forget(const std::vector<std::string>& names, std::int64_t step) {
  const std::set<std::string> forgotten(names.begin(), names.end());
  for (Group& group : groups_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      if (forgotten.count(group.names[i]) != 0) {
        group.exp_avg[i].zero_();
        group.exp_avg_sq[i].zero_();
        group.first_update[i] = step;
      }
    }
  }
}

double clip_factor(double norm, double grad_clip) {
  return grad_clip > 0.0 ? std::min(1.0, grad_clip / (norm + 1e-6)) : 1.0;
}

}  // namespace bitlaw::trainer
