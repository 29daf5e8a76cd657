// Layers that the transformers share.
#include "distill/models/transformer_layers.h"

#include <ATen/ATen.h>

#include "distill/models/full_precision.h"
#include "distill/models/transformer_ops.h"

namespace bitlaw::distill {

LabelEmbedding::LabelEmbedding(std::int64_t rows, std::int64_t width) {
  embedding_table_ = register_module("embedding_table", std::make_shared<quant::Embedding>(rows, width));
}

at::Tensor LabelEmbedding::forward(const at::Tensor& labels_B) {
  return embedding_table_->forward(labels_B);
}

FeatureEmbedding::FeatureEmbedding(std::int64_t features, std::int64_t width) {
  weight = register_parameter("weight", at::zeros({width, features}));
  bias = register_parameter("bias", at::zeros({width}));
}

at::Tensor FeatureEmbedding::forward(const at::Tensor& x) const {
  return at::linear(x, rest(weight), rest(bias));
}

AdaLin::AdaLin(std::int64_t width, std::int64_t vectors) : vectors_(vectors) {
  linear_ = register_module("1", std::make_shared<quant::Linear>(width, vectors * width));
}

at::Tensor AdaLin::forward(const at::Tensor& silu_cond_BC) {
  const FullPrecision full(silu_cond_BC.device().type());
  return linear_->forward(silu_cond_BC).view({silu_cond_BC.size(0), vectors_, -1});
}

FeedForward::FeedForward(std::int64_t width, std::int64_t hidden) {
  fc1_ = register_module("fc1", std::make_shared<quant::Linear>(width, hidden));
  fc2_ = register_module("fc2", std::make_shared<quant::Linear>(hidden, width));
}

at::Tensor FeedForward::forward(const at::Tensor& x_BLC) {
  return fc2_->forward(gelu_tanh(fc1_->forward(x_BLC)));
}

}  // namespace bitlaw::distill
