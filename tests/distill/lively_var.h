// A small VAR whose every parameter matters: the published initial values leave gates and head almost closed.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

inline VarShape lively_shape() {
  VarShape shape;
  shape.depth = 2;
  shape.width = 32;
  shape.num_heads = 2;
  shape.num_classes = 5;
  shape.vocab_size = 40;
  shape.latent_channels = 6;
  shape.patch_nums = {1, 2, 3};
  return shape;
}

inline std::shared_ptr<Var> lively_var(const VarShape& shape) {
  at::manual_seed(11);
  auto model = std::make_shared<Var>(shape);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : model->parameters()) {
    parameter.normal_(0, 0.3);
  }
  return model;
}

struct VarInputs {
  at::Tensor labels_B, var_input_BLE;
};

inline VarInputs lively_inputs(const VarShape& shape, std::int64_t batch) {
  at::manual_seed(12);
  return {at::arange(batch) % (shape.num_classes + 1),
          at::randn({batch, token_count(shape.patch_nums) - 1, shape.latent_channels})};
}

}  // namespace bitlaw::distill
