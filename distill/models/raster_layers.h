// The parts of LlamaGen's transformer under their published names: RMSNorm, attention, SwiGLU, layer.
//
// Shapes: B samples, L positions, C width, H heads, D = C / H.
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "distill/models/weights.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// x / sqrt(mean(x^2) + 1e-5) weight.
class RmsNorm : public quant::Layer {
 public:
  explicit RmsNorm(std::int64_t width);
  at::Tensor forward(const at::Tensor& x_BLC);  // float32 -> float32

 private:
  at::Tensor weight_;  // "weight" [C], ones at first
};

// Positions that attention sees beside those of the call; sampling alone. Undefined tensors: none yet.
struct PastPositions {
  at::Tensor* keys = nullptr;    // [B, H, seen, D], appended to
  at::Tensor* values = nullptr;  // likewise
};

// "attention": queries and keys turned by their position; a position sees itself and all earlier ones.
class RasterAttention : public torch::nn::Module {
 public:
  explicit RasterAttention(const RasterShape& shape);
  // rotary: float32 [L, D/2, 2], of the positions of x. With a past, L is 1.
  at::Tensor forward(const at::Tensor& x_BLC, const at::Tensor& rotary_LP2, const PastPositions& past);

 private:
  std::int64_t num_heads_;
  std::shared_ptr<quant::Linear> wqkv_, wo_;
};

// "feed_forward": w2(silu(w1 x) * w3 x).
class SwiGlu : public torch::nn::Module {
 public:
  SwiGlu(std::int64_t width, std::int64_t hidden);
  at::Tensor forward(const at::Tensor& x_BLC);

 private:
  std::shared_ptr<quant::Linear> w1_, w3_, w2_;
};

// x + attention(norm x), then x + feed_forward(norm x). The sum is float32.
class RasterLayer : public torch::nn::Module {
 public:
  explicit RasterLayer(const RasterShape& shape);
  at::Tensor forward(const at::Tensor& x_BLC, const at::Tensor& rotary_LP2, const PastPositions& past);

 private:
  std::shared_ptr<RasterAttention> attention_;
  std::shared_ptr<SwiGlu> feed_forward_;
  std::shared_ptr<RmsNorm> attention_norm_, ffn_norm_;
};

}  // namespace bitlaw::distill
