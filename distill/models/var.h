// VAR transformer (next-scale prediction, arXiv 2404.02905). State-dict names are the published ones.
//
// Shapes: B samples, L tokens of all scales, C width, H heads, D head dim, V codes, E latent channels of the
// tokenizer.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "distill/config.h"
#include "distill/models/model_shapes.h"
#include "distill/models/var_shape.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// Keys and values of the scales seen so far, per block; lives for one sampling run with one set of labels.
struct KvCache {
  std::vector<at::Tensor> keys;  // [B, H, L_seen, D]
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> modulations;  // AdaLN vectors of the blocks and the head: the same at all scales
};

class Var : public quant::Layer {
 public:
  explicit Var(const VarShape& shape);
  ~Var() override;

  // labels int64 [B] (num_classes = dropped), var_input float32 [B, L - 1st scale, E] -> logits float32 [B,
  // L, V].
  at::Tensor forward(const at::Tensor& labels_B, const at::Tensor& var_input_BLE);
  // The first `blocks` blocks of the same forward, without the head: what later blocks would be given.
  at::Tensor forward_blocks(const at::Tensor& labels_B, const at::Tensor& var_input_BLE, std::int64_t blocks);
  // Block `block` alone, of what the blocks before it give: float32 [B, L, C] -> [B, L, C].
  at::Tensor forward_block(const at::Tensor& labels_B, const at::Tensor& x_BLC, std::int64_t block);
  // Logits of scale k alone, appending to the cache; input undefined for scale 0. [B, p_k^2, V]
  at::Tensor forward_scale(const at::Tensor& labels_B, const at::Tensor& input_BTE, std::int64_t scale,
                           KvCache& cache);
  void set_activation_checkpointing(bool on);
  const VarShape& shape() const;
  quant::BufferRole buffer_role(std::string_view name) const override;

 private:
  at::Tensor embed(const at::Tensor& cond_BC, const at::Tensor& input_BTE, std::int64_t begin) const;
  void start_cache(const at::Tensor& cond_BC, KvCache& cache) const;

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

void initialise(Var& model, double ada_lin_gamma, std::uint64_t seed);  // counter-based, by parameter name

}  // namespace bitlaw::distill
