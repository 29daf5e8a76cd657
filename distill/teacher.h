// The frozen network that a student learns from.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "distill/models/var.h"

namespace bitlaw::distill {

// In eval mode for ever, no gradients, no parameters to train. One thread uses it.
class Teacher {
 public:
  explicit Teacher(std::shared_ptr<Var> model);

  // labels int64 [B] with the same labels dropped as the student's; var_input [B, L - p0^2, E]. Logits
  // float32 [B, L, V], without a graph. Matrix products run in the caller's autocast.
  at::Tensor logits(const at::Tensor& labels_B, const at::Tensor& var_input_BLE);
  const VarShape& shape() const { return model_->shape(); }

 private:
  std::shared_ptr<Var> model_;
};

}  // namespace bitlaw::distill
