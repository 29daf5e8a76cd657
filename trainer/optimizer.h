// AdamW (Loshchilov and Hutter 2019) over named parameters with groups by role.
//
//   p <- p - lr wd p
//   m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
//   p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
// t: number of this update, from 1, counted anew for a parameter that begins anew (forget).
// wd is weight_decay for ParameterRole::weight and clipping_value (PACT's penalty on alpha) and 0 for the
// others; quantiser scales and clipping values have the learning rate scale_lr (0: lr). One pass over the
// memory of each tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "distill/task.h"
#include "trainer/config/run_config.h"

namespace bitlaw::trainer {

class AdamW {
 public:
  AdamW(const std::vector<distill::NamedParameter>& parameters, const OptimConfig& config);

  // The update after `step` others, with the gradients in .grad, multiplied by gradient_factor first
  // (clipping; .grad is changed by it). lr_factor: of the schedule.
  void update(std::int64_t step, double lr_factor, double gradient_factor);

  // "exp_avg/<name>" and "exp_avg_sq/<name>"; the tensors are the optimiser's own. And "first_update/<name>",
  // int64 [1], of parameters that began anew: the updates that had been made by then.
  std::map<std::string, at::Tensor> state() const;
  // Copies them back. InputError names everything that is missing, unused or of another shape.
  void load(const std::map<std::string, at::Tensor>& state);
  // When `step` updates have been made: the named parameters begin anew. Their moments become zero, and the
  // correction of the moments' bias counts updates from here. Names of others are ignored.
  void forget(const std::vector<std::string>& names, std::int64_t step);

 private:
  struct Group {
    double lr = 0.0;
    double weight_decay = 0.0;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> exp_avg;
    std::vector<at::Tensor> exp_avg_sq;
    std::vector<std::int64_t> first_update;  // updates before a parameter began anew
  };
  std::map<std::string, at::Tensor> moments() const;
  OptimConfig config_;
  std::vector<Group> groups_;
};

// What a gradient of this norm is multiplied by so that its norm is at most grad_clip (0: no clipping):
// min(1, grad_clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_.
double clip_factor(double norm, double grad_clip);

}  // namespace bitlaw::trainer
