// The VAR transformer: token embedding, blocks, head.
#include "distill/models/var.h"

#include <ATen/ATen.h>

#include <limits>
#include <string>

#include "distill/models/checkpointing.h"
#include "distill/models/full_precision.h"
#include "distill/models/transformer_ops.h"
#include "distill/models/var_layers.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

namespace {

std::vector<std::int64_t> ends_of(const std::vector<std::int64_t>& patch_nums) {
  std::vector<std::int64_t> ends;
  for (const std::int64_t side : patch_nums) ends.push_back((ends.empty() ? 0 : ends.back()) + side * side);
  return ends;
}

// int64 [1, L]: the scale of each token.
at::Tensor level_table(const std::vector<std::int64_t>& ends) {
  at::Tensor levels_1L = at::zeros({1, ends.back()}, at::kLong);
  for (std::size_t k = 0; k + 1 < ends.size(); ++k) levels_1L.slice(1, ends[k]).add_(1);
  return levels_1L;
}

// float32 [1, 1, L, L]: 0 where the query's scale is the key's or a later one, -infinity elsewhere. Kept for
// the published checkpoints; attention itself computes no masked score.
at::Tensor mask_table(const at::Tensor& levels_1L) {
  const at::Tensor query_L1 = levels_1L.view({-1, 1}), key_1L = levels_1L;
  at::Tensor mask = at::zeros({levels_1L.size(1), levels_1L.size(1)});
  mask.masked_fill_(query_L1.lt(key_1L), -std::numeric_limits<double>::infinity());
  return mask.view({1, 1, levels_1L.size(1), levels_1L.size(1)});
}

}  // namespace

struct Var::Impl {
  VarShape shape;
  std::vector<std::int64_t> ends;  // first token after each scale
  bool checkpointing = false;

  std::shared_ptr<FeatureEmbedding> word_embed;
  std::shared_ptr<quant::Embedding> class_emb, lvl_embed;
  at::Tensor pos_start, pos_1LC, lvl_1L;
  std::shared_ptr<AdaLin> shared_ada_lin, head_ada_lin;
  std::vector<std::shared_ptr<VarBlock>> blocks;
  std::shared_ptr<quant::Linear> head;

  // What the blocks' modulation() takes.
  at::Tensor modulation_source(const at::Tensor& silu_cond_BC) const {
    return shared_ada_lin ? shared_ada_lin->forward(silu_cond_BC) : silu_cond_BC;
  }
  at::Tensor run_block(VarBlock& block, const at::Tensor& x_BLC, const at::Tensor& source) const;
  at::Tensor logits(const at::Tensor& x_BLC, const at::Tensor& modulation_B2C) const;
};

Var::Var(const VarShape& shape) : impl_(std::make_unique<Impl>()) {
  Impl& impl = *impl_;
  const std::int64_t width = shape.width, tokens = token_count(shape.patch_nums);
  impl.shape = shape;
  impl.ends = ends_of(shape.patch_nums);
  impl.word_embed =
      register_module("word_embed", std::make_shared<FeatureEmbedding>(shape.latent_channels, width));
  impl.class_emb =
      register_module("class_emb", std::make_shared<quant::Embedding>(shape.num_classes + 1, width));
  impl.pos_start = register_parameter("pos_start", at::zeros({1, impl.ends.front(), width}));
  impl.pos_1LC = register_parameter("pos_1LC", at::zeros({1, tokens, width}));
  const auto scales = static_cast<std::int64_t>(shape.patch_nums.size());
  impl.lvl_embed = register_module("lvl_embed", std::make_shared<quant::Embedding>(scales, width));
  impl.lvl_1L = register_buffer("lvl_1L", level_table(impl.ends));
  register_buffer("attn_bias_for_masking", mask_table(impl.lvl_1L));
  if (shape.shared_ada_lin)
    impl.shared_ada_lin = register_module("shared_ada_lin", std::make_shared<AdaLin>(width, 6));
  const auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>("blocks"));
  for (std::int64_t i = 0; i < shape.depth; ++i)
    impl.blocks.push_back(blocks->register_module(std::to_string(i), std::make_shared<VarBlock>(shape)));
  const auto head_norm = register_module("head_nm", std::make_shared<torch::nn::Module>("head_nm"));
  impl.head_ada_lin = head_norm->register_module("ada_lin", std::make_shared<AdaLin>(width, 2));
  impl.head = register_module("head", std::make_shared<quant::Linear>(width, shape.vocab_size));
}

Var::~Var() = default;

const VarShape& Var::shape() const {
  return impl_->shape;
}

void Var::set_activation_checkpointing(bool on) {
  impl_->checkpointing = on;
}

quant::BufferRole Var::buffer_role(std::string_view /*name*/) const {
  return quant::BufferRole::constant;
}

at::Tensor Var::Impl::run_block(VarBlock& block, const at::Tensor& x_BLC, const at::Tensor& source) const {
  const AttentionScope scope{.scale_ends = &ends};
  const auto run = [&block, scope](const std::vector<at::Tensor>& inputs) {
    return block.forward(inputs[0], block.modulation(inputs[1]), scope);
  };
  if (!checkpointing || !at::GradMode::is_enabled()) return run({x_BLC, source});
  return checkpointed(run, {x_BLC, source}, block.parameters());
}

at::Tensor Var::Impl::logits(const at::Tensor& x_BLC, const at::Tensor& modulation_B2C) const {
  const at::Tensor scale_BC = modulation_B2C.select(1, 0), shift_BC = modulation_B2C.select(1, 1);
  const at::ScalarType type = product_type(x_BLC);
  const at::Tensor normed_BLC = modulated_norm(x_BLC, scale_BC, shift_BC, type);
  return float_product(head->prepared_input(normed_BLC, type), head->weight_as(type), head->effective_bias());
}

// float32 [B, L, C] of all tokens, or of tokens [begin, begin + input length) when begin > 0.
at::Tensor Var::embed(const at::Tensor& cond_BC, const at::Tensor& input_BTE, std::int64_t begin) const {
  const Impl& impl = *impl_;
  const FullPrecision full(cond_BC.device().type());
  std::vector<at::Tensor> parts;
  if (begin == 0) parts.push_back(cond_BC.unsqueeze(1) + rest(impl.pos_start));
  if (input_BTE.defined() && input_BTE.size(1) > 0) parts.push_back(impl.word_embed->forward(input_BTE));
  const at::Tensor x_BTC = parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  const std::int64_t tokens = x_BTC.size(1);
  const at::Tensor level_1TC = impl.lvl_embed->forward(impl.lvl_1L.narrow(1, begin, tokens));
  return x_BTC + (level_1TC + rest(impl.pos_1LC.narrow(1, begin, tokens)));
}

at::Tensor Var::forward(const at::Tensor& labels_B, const at::Tensor& var_input_BLE) {
  const Impl& impl = *impl_;
  const at::Tensor cond_BC = impl.class_emb->forward(labels_B);
  const at::Tensor silu_cond_BC = at::silu(cond_BC);
  const at::Tensor source = impl.modulation_source(silu_cond_BC);
  at::Tensor x_BLC = embed(cond_BC, var_input_BLE, 0);
  for (const auto& block : impl.blocks) x_BLC = impl.run_block(*block, x_BLC, source);
  return impl.logits(x_BLC, impl.head_ada_lin->forward(silu_cond_BC));
}

at::Tensor Var::forward_blocks(const at::Tensor& labels_B, const at::Tensor& var_input_BLE,
                               std::int64_t blocks) {
  const Impl& impl = *impl_;
  const at::Tensor cond_BC = impl.class_emb->forward(labels_B);
  const at::Tensor source = impl.modulation_source(at::silu(cond_BC));
  at::Tensor x_BLC = embed(cond_BC, var_input_BLE, 0);
  for (std::int64_t i = 0; i < blocks; ++i)
    x_BLC = impl.run_block(*impl.blocks.at(static_cast<std::size_t>(i)), x_BLC, source);
  return x_BLC;
}

at::Tensor Var::forward_block(const at::Tensor& labels_B, const at::Tensor& x_BLC, std::int64_t block) {
  const Impl& impl = *impl_;
  const at::Tensor source = impl.modulation_source(at::silu(impl.class_emb->forward(labels_B)));
  return impl.run_block(*impl.blocks.at(static_cast<std::size_t>(block)), x_BLC, source);
}

// AdaLN vectors depend on the labels alone: made once for all scales.
void Var::start_cache(const at::Tensor& cond_BC, KvCache& cache) const {
  const Impl& impl = *impl_;
  const at::Tensor silu_cond_BC = at::silu(cond_BC);
  const at::Tensor source = impl.modulation_source(silu_cond_BC);
  for (const auto& block : impl.blocks) cache.modulations.push_back(block->modulation(source));
  cache.modulations.push_back(impl.head_ada_lin->forward(silu_cond_BC));
  cache.keys.resize(impl.blocks.size());
  cache.values.resize(impl.blocks.size());
}

at::Tensor Var::forward_scale(const at::Tensor& labels_B, const at::Tensor& input_BTE, std::int64_t scale,
                              KvCache& cache) {
  const Impl& impl = *impl_;
  const at::Tensor cond_BC = impl.class_emb->forward(labels_B);
  if (cache.modulations.empty()) start_cache(cond_BC, cache);
  const std::int64_t begin = scale == 0 ? 0 : impl.ends[static_cast<std::size_t>(scale) - 1];
  at::Tensor x_BTC = embed(cond_BC, input_BTE, begin);
  for (std::size_t i = 0; i < impl.blocks.size(); ++i) {
    const AttentionScope scope{.keys = &cache.keys[i], .values = &cache.values[i]};
    x_BTC = impl.blocks[i]->forward(x_BTC, cache.modulations[i], scope);
  }
  return impl.logits(x_BTC, cache.modulations.back());
}

}  // namespace bitlaw::distill
