// The parts of a VAR transformer under their published names: self-attention, block.
//
// Shapes: B samples, L tokens, C width, H heads, D = C / H.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "distill/models/transformer_layers.h"
#include "distill/models/var.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// Where attention looks. Training: scale by scale over all tokens. Sampling: over what the cache holds.
struct AttentionScope {
  const std::vector<std::int64_t>* scale_ends = nullptr;  // first token after each scale
  at::Tensor* keys = nullptr;                             // sampling: [B, H, L_seen, D], appended to
  at::Tensor* values = nullptr;
};

class SelfAttention : public quant::Layer {
 public:
  explicit SelfAttention(const VarShape& shape);
  at::Tensor forward(const at::Tensor& x_BLC, const AttentionScope& scope);
  quant::BufferRole buffer_role(std::string_view name) const override;

 private:
  at::Tensor head_scale() const;  // [H]: exp(min(scale_mul, ln 100)); undefined without q/k norm
  at::Tensor attend_to_cache(const at::Tensor& qkv_BLC3, const AttentionScope& scope) const;

  std::int64_t num_heads_;
  std::shared_ptr<quant::Linear> mat_qkv_, proj_;
  at::Tensor scale_mul_1H11_;  // undefined without q/k norm
  at::Tensor q_bias_, v_bias_, zero_k_bias_;
};

// x + attn(LN(x) (1 + scale1) + shift1) gamma1, then the same with the MLP.
class VarBlock : public quant::Layer {
 public:
  explicit VarBlock(const VarShape& shape);

  // The six AdaLN vectors gamma1, gamma2, scale1, scale2, shift1, shift2: [B, 6, C]. With a shared AdaLN
  // layer the argument is its output [B, 6, C], otherwise SiLU(cond) [B, C].
  at::Tensor modulation(const at::Tensor& source);
  at::Tensor forward(const at::Tensor& x_BLC, const at::Tensor& modulation_B6C, const AttentionScope& scope);

 private:
  std::shared_ptr<AdaLin> ada_lin_;  // empty when shared
  at::Tensor ada_gss_;               // [1, 1, 6, C] when shared
  std::shared_ptr<SelfAttention> attn_;
  std::shared_ptr<FeedForward> ffn_;
};

}  // namespace bitlaw::distill
