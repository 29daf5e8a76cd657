// LlamaGen's transformer: embeddings, layers, logits.
#include "distill/models/raster_ar.h"

#include <ATen/ATen.h>

#include <string>

#include "data/formats/input_error.h"
#include "distill/models/check_shapes.h"
#include "distill/models/checkpointing.h"
#include "distill/models/positions.h"
#include "distill/models/raster_layers.h"
#include "distill/models/transformer_layers.h"
#include "distill/models/transformer_ops.h"

namespace bitlaw::distill {

struct RasterAr::Impl {
  RasterShape shape;
  bool checkpointing = false;

  std::shared_ptr<LabelEmbedding> cls_embedding;
  std::shared_ptr<quant::Embedding> tok_embeddings;
  at::Tensor freqs_cis;  // [1 + L, D/2, 2]
  std::vector<std::shared_ptr<RasterLayer>> layers;
  std::shared_ptr<RmsNorm> norm;
  std::shared_ptr<quant::Linear> output;

  // InputError unless one token more than `given` is left to be predicted.
  void check_tokens(std::int64_t given) const;
  at::Tensor run_layer(RasterLayer& layer, const at::Tensor& x_BLC, const at::Tensor& rotary_LP2) const;
  at::Tensor run_layers(const at::Tensor& labels_B, const at::Tensor& tokens_BT, std::size_t count) const;
  at::Tensor logits(const at::Tensor& x_BLC) const;
};

RasterAr::RasterAr(const RasterShape& shape) : impl_(std::make_unique<Impl>()) {
  check_geometry(shape);
  Impl& impl = *impl_;
  impl.shape = shape;
  const std::int64_t label_rows = shape.num_classes + (shape.has_dropped_label ? 1 : 0);
  impl.cls_embedding =
      register_module("cls_embedding", std::make_shared<LabelEmbedding>(label_rows, shape.width));
  impl.tok_embeddings =
      register_module("tok_embeddings", std::make_shared<quant::Embedding>(shape.vocab_size, shape.width));
  impl.freqs_cis =
      register_buffer("freqs_cis", rotary_table(shape.tokens_per_side, shape.width / shape.num_heads));
  const auto layers = register_module("layers", std::make_shared<torch::nn::Module>("layers"));
  for (std::int64_t i = 0; i < shape.depth; ++i)
    impl.layers.push_back(layers->register_module(std::to_string(i), std::make_shared<RasterLayer>(shape)));
  impl.norm = register_module("norm", std::make_shared<RmsNorm>(shape.width));
  impl.output = register_module(
      "output", std::make_shared<quant::Linear>(shape.width, shape.vocab_size, quant::Linear::Bias::no));
}

RasterAr::~RasterAr() = default;

const RasterShape& RasterAr::shape() const {
  return impl_->shape;
}

void RasterAr::set_activation_checkpointing(bool on) {
  impl_->checkpointing = on;
}

quant::BufferRole RasterAr::buffer_role(std::string_view /*name*/) const {
  return quant::BufferRole::constant;
}

void RasterAr::Impl::check_tokens(std::int64_t given) const {
  const std::int64_t all = shape.tokens_per_side * shape.tokens_per_side;
  if (given < all) return;
  throw data::InputError(
      std::to_string(given).append(" tokens are given to a model of ").append(std::to_string(all)),
      "there is no token after the last", "give it all but the last token");
}

at::Tensor RasterAr::Impl::run_layer(RasterLayer& layer, const at::Tensor& x_BLC,
                                     const at::Tensor& rotary_LP2) const {
  const auto run = [&layer, rotary_LP2](const std::vector<at::Tensor>& inputs) {
    return layer.forward(inputs[0], rotary_LP2, PastPositions{});
  };
  if (!checkpointing || !at::GradMode::is_enabled()) return run({x_BLC});
  return checkpointed(run, {x_BLC}, layer.parameters());
}

at::Tensor RasterAr::Impl::run_layers(const at::Tensor& labels_B, const at::Tensor& tokens_BT,
                                      std::size_t count) const {
  const std::int64_t positions = 1 + tokens_BT.size(1);
  check_tokens(positions - 1);
  const at::Tensor rotary_LP2 = freqs_cis.narrow(0, 0, positions);
  at::Tensor x_BLC =
      at::cat({cls_embedding->forward(labels_B).unsqueeze(1), tok_embeddings->forward(tokens_BT)}, 1);
  for (std::size_t i = 0; i < count; ++i) x_BLC = run_layer(*layers.at(i), x_BLC, rotary_LP2);
  return x_BLC;
}

at::Tensor RasterAr::Impl::logits(const at::Tensor& x_BLC) const {
  const at::ScalarType type = product_type(x_BLC);
  return float_product(output->prepared_input(norm->forward(x_BLC), type), output->weight_as(type),
                       output->effective_bias());
}

at::Tensor RasterAr::forward(const at::Tensor& labels_B, const at::Tensor& tokens_BT) {
  return impl_->logits(impl_->run_layers(labels_B, tokens_BT, impl_->layers.size()));
}

at::Tensor RasterAr::forward_blocks(const at::Tensor& labels_B, const at::Tensor& tokens_BT,
                                    std::int64_t blocks) {
  return impl_->run_layers(labels_B, tokens_BT, static_cast<std::size_t>(blocks));
}

at::Tensor RasterAr::forward_next(const at::Tensor& labels_B, const at::Tensor& previous_B,
                                  RasterCache& cache) {
  const Impl& impl = *impl_;
  impl.check_tokens(cache.seen);
  cache.keys.resize(impl.layers.size());
  cache.values.resize(impl.layers.size());
  const at::Tensor rotary_LP2 = impl.freqs_cis.narrow(0, cache.seen, 1);
  at::Tensor x_B1C =
      (cache.seen == 0 ? impl.cls_embedding->forward(labels_B) : impl.tok_embeddings->forward(previous_B))
          .unsqueeze(1);
  for (std::size_t i = 0; i < impl.layers.size(); ++i)
    x_B1C = impl.layers[i]->forward(x_B1C, rotary_LP2, {&cache.keys[i], &cache.values[i]});
  ++cache.seen;
  return impl.logits(x_B1C).squeeze(1);
}

}  // namespace bitlaw::distill
