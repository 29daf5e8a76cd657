// The diffusion transformer: patches and conditions, blocks, final layer.
#include "distill/models/dit.h"

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "distill/models/check_shapes.h"
#include "distill/models/checkpointing.h"
#include "distill/models/dit_layers.h"
#include "distill/models/positions.h"

namespace bitlaw::distill {

namespace {

constexpr std::int64_t kGuidedChannels = 3;  // of the noise; the published models were sampled so

}  // namespace

struct Dit::Impl {
  DitShape shape;
  bool checkpointing = false;

  std::shared_ptr<PatchEmbedding> x_embedder;
  std::shared_ptr<TimestepEmbedding> t_embedder;
  std::shared_ptr<LabelEmbedding> y_embedder;
  at::Tensor pos_embed;  // [1, T, W]
  std::vector<std::shared_ptr<DitBlock>> blocks;
  std::shared_ptr<DitFinalLayer> final_layer;

  at::Tensor silu_condition(const at::Tensor& t_B, const at::Tensor& labels_B) const {
    return at::silu(t_embedder->forward(t_B) + y_embedder->forward(labels_B));
  }
  at::Tensor run_block(DitBlock& block, const at::Tensor& x_BTW, const at::Tensor& silu_cond_BW) const;
  at::Tensor run_blocks(const at::Tensor& x_BCSS, const at::Tensor& silu_cond_BW, std::size_t count) const;
};

Dit::Dit(const DitShape& shape) : impl_(std::make_unique<Impl>()) {
  check_geometry(shape);
  Impl& impl = *impl_;
  impl.shape = shape;
  impl.x_embedder = register_module("x_embedder", std::make_shared<PatchEmbedding>(shape));
  impl.t_embedder = register_module("t_embedder", std::make_shared<TimestepEmbedding>(shape.width));
  impl.y_embedder =
      register_module("y_embedder", std::make_shared<LabelEmbedding>(shape.num_classes + 1, shape.width));
  impl.pos_embed =
      register_buffer("pos_embed", sin_cos_positions(shape.latent_side / shape.patch_size, shape.width));
  const auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>("blocks"));
  for (std::int64_t i = 0; i < shape.depth; ++i)
    impl.blocks.push_back(blocks->register_module(std::to_string(i), std::make_shared<DitBlock>(shape)));
  impl.final_layer = register_module("final_layer", std::make_shared<DitFinalLayer>(shape));
}

Dit::~Dit() = default;

const DitShape& Dit::shape() const {
  return impl_->shape;
}

void Dit::set_activation_checkpointing(bool on) {
  impl_->checkpointing = on;
}

quant::BufferRole Dit::buffer_role(std::string_view /*name*/) const {
  return quant::BufferRole::constant;
}

at::Tensor Dit::Impl::run_block(DitBlock& block, const at::Tensor& x_BTW,
                                const at::Tensor& silu_cond_BW) const {
  const auto run = [&block](const std::vector<at::Tensor>& inputs) {
    return block.forward(inputs[0], inputs[1]);
  };
  if (!checkpointing || !at::GradMode::is_enabled()) return run({x_BTW, silu_cond_BW});
  return checkpointed(run, {x_BTW, silu_cond_BW}, block.parameters());
}

at::Tensor Dit::Impl::run_blocks(const at::Tensor& x_BCSS, const at::Tensor& silu_cond_BW,
                                 std::size_t count) const {
  at::Tensor x_BTW = x_embedder->forward(x_BCSS) + pos_embed;
  for (std::size_t i = 0; i < count; ++i) x_BTW = run_block(*blocks.at(i), x_BTW, silu_cond_BW);
  return x_BTW;
}

at::Tensor Dit::forward(const at::Tensor& x_BCSS, const at::Tensor& t_B, const at::Tensor& labels_B) {
  const at::Tensor silu_cond_BW = impl_->silu_condition(t_B, labels_B);
  const at::Tensor x_BTW = impl_->run_blocks(x_BCSS, silu_cond_BW, impl_->blocks.size());
  return impl_->final_layer->forward(x_BTW, silu_cond_BW);
}

at::Tensor Dit::forward_blocks(const at::Tensor& x_BCSS, const at::Tensor& t_B, const at::Tensor& labels_B,
                               std::int64_t blocks) {
  return impl_->run_blocks(x_BCSS, impl_->silu_condition(t_B, labels_B), static_cast<std::size_t>(blocks));
}

at::Tensor Dit::forward_guided(const at::Tensor& x_BCSS, const at::Tensor& t_B, const at::Tensor& labels_B,
                               double scale) {
  const at::Tensor dropped_B = at::full_like(labels_B, impl_->shape.num_classes);
  const std::vector<at::Tensor> halves =
      forward(at::cat({x_BCSS, x_BCSS}), at::cat({t_B, t_B}), at::cat({labels_B, dropped_B})).chunk(2);
  const at::Tensor noise = halves[0].slice(1, 0, kGuidedChannels);
  const at::Tensor unconditional = halves[1].slice(1, 0, kGuidedChannels);
  return at::cat({unconditional + scale * (noise - unconditional), halves[0].slice(1, kGuidedChannels)}, 1);
}

}  // namespace bitlaw::distill
