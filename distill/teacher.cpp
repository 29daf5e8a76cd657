#include "distill/teacher.h"

#include <utility>

namespace bitlaw::distill {

Teacher::Teacher(std::shared_ptr<Var> model) : model_(std::move(model)) {
  model_->eval();
  for (at::Tensor& parameter : model_->parameters()) {
    parameter.set_requires_grad(false);
  }
}

at::Tensor Teacher::logits(const at::Tensor& labels_B, const at::Tensor& var_input_BLE) {
  const at::NoGradGuard no_grad;
  return model_->forward(labels_B, var_input_BLE).to(at::kFloat).contiguous();
}

}  // namespace bitlaw::distill
