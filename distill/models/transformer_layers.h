// Layers that the transformers share: embeddings of labels and features, AdaLN layer, MLP.
//
// Shapes: B samples, L tokens, C width.
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "quant/layers.h"

namespace bitlaw::distill {

// A table under the name "embedding_table" (DiT's "y_embedder", LlamaGen's "cls_embedding").
class LabelEmbedding : public torch::nn::Module {
 public:
  LabelEmbedding(std::int64_t rows, std::int64_t width);
  at::Tensor forward(const at::Tensor& labels_B);  // float32 [B, C]

 private:
  std::shared_ptr<quant::Embedding> embedding_table_;
};

// VAR's "word_embed", the layers of DiT's "t_embedder": features -> width by a matrix and a bias under the
// names of a linear layer. An embedding, and therefore never quantised.
class FeatureEmbedding : public quant::Layer {
 public:
  FeatureEmbedding(std::int64_t features, std::int64_t width);
  at::Tensor forward(const at::Tensor& x) const;  // [..., features] -> float32 [..., C]

  at::Tensor weight;  // [C, features]
  at::Tensor bias;    // [C]
};

// "ada_lin", "adaLN_modulation": a Linear under the name "1" (0 is the SiLU, which the caller has applied
// once for all layers). Float32 whatever autocast says: it has one row a sample.
class AdaLin : public torch::nn::Module {
 public:
  AdaLin(std::int64_t width, std::int64_t vectors);
  at::Tensor forward(const at::Tensor& silu_cond_BC);  // float32 [B, vectors, C]

 private:
  std::int64_t vectors_;
  std::shared_ptr<quant::Linear> linear_;
};

// "ffn", "mlp": fc2(GELU(fc1 x)), GELU by its tanh formula.
class FeedForward : public torch::nn::Module {
 public:
  FeedForward(std::int64_t width, std::int64_t hidden);
  at::Tensor forward(const at::Tensor& x_BLC);

 private:
  std::shared_ptr<quant::Linear> fc1_, fc2_;
};

}  // namespace bitlaw::distill
