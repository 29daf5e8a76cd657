// Class-conditional language model over image tokens in raster order (LlamaGen, arXiv 2406.06525): pre-norm
// transformer with RMSNorm, SwiGLU and two-dimensional rotary positions. State-dict names are the published
// ones.
//
// Shapes: B samples, L = tokens_per_side^2 image tokens (row-major), T of them given, V codes, C width, H
// heads, D head dim.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string_view>
#include <vector>

#include "distill/models/weights.h"
#include "quant/layers.h"

namespace bitlaw::distill {

// Keys and values of the positions seen so far, per layer; lives for one sampling run with one set of labels.
struct RasterCache {
  std::vector<at::Tensor> keys;  // [B, H, seen, D]
  std::vector<at::Tensor> values;
  std::int64_t seen = 0;  // positions
};

class RasterAr : public quant::Layer {
 public:
  explicit RasterAr(const RasterShape& shape);  // InputError: a geometry that cannot be built
  ~RasterAr() override;

  // labels int64 [B] (num_classes = dropped, where the table has it), the first T <= L - 1 tokens int64
  // [B, T] -> logits float32 [B, T + 1, V]. Logits j belong to token j.
  at::Tensor forward(const at::Tensor& labels_B, const at::Tensor& tokens_BT);
  // The first `blocks` layers of the same forward, without the last norm and the output layer: [B, T + 1, C].
  at::Tensor forward_blocks(const at::Tensor& labels_B, const at::Tensor& tokens_BT, std::int64_t blocks);
  // Logits float32 [B, V] of token cache.seen, appending to the cache; `previous_B`, the token before it, is
  // undefined for token 0.
  at::Tensor forward_next(const at::Tensor& labels_B, const at::Tensor& previous_B, RasterCache& cache);
  void set_activation_checkpointing(bool on);
  const RasterShape& shape() const;
  // freqs_cis, the cosines and sines of all positions, is constant; published files do not hold it.
  quant::BufferRole buffer_role(std::string_view name) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// As published: normal with deviation 0.02, norms 1, the output layer zero. Counter-based, by parameter name.
void initialise(RasterAr& model, std::uint64_t seed);

}  // namespace bitlaw::distill
