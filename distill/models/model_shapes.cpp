#include "distill/models/model_shapes.h"

#include <algorithm>
#include <string>

#include "data/formats/input_error.h"
#include "distill/models/weights.h"

namespace bitlaw::distill {

namespace {

std::int64_t heads_of(const ModelConfig& config) {
  const std::int64_t heads =
      config.num_heads > 0 ? config.num_heads : std::max<std::int64_t>(1, config.width / 64);
  if (config.width % heads != 0) {
    throw data::InputError("model.num_heads: " + std::to_string(heads) + " does not divide model.width " +
                               std::to_string(config.width),
                           "every head has the same width", "choose a divisor of the width");
  }
  return heads;
}

}  // namespace

VarShape var_shape(const ModelConfig& config, const VqConfig& tokenizer, std::int64_t num_classes) {
  VarShape shape;
  shape.depth = config.depth;
  shape.width = config.width;
  shape.num_heads = heads_of(config);
  shape.mlp_ratio = config.mlp_ratio;
  shape.num_classes = num_classes;
  shape.vocab_size = tokenizer.codebook_size;
  shape.latent_channels = tokenizer.latent_channels;
  shape.patch_nums = tokenizer.patch_nums;
  shape.attn_l2_norm = config.attn_l2_norm;
  shape.shared_ada_lin = config.shared_ada_lin;
  return shape;
}

DitShape dit_shape(const ModelConfig& config, std::int64_t num_classes) {
  DitShape shape;
  shape.depth = config.depth;
  shape.width = config.width;
  shape.num_heads = heads_of(config);
  shape.patch_size = config.dit.patch_size;
  shape.latent_side = config.dit.latent_side;
  shape.latent_channels = config.dit.latent_channels;
  shape.num_classes = num_classes;
  shape.mlp_ratio = config.mlp_ratio;
  shape.learn_sigma = config.dit.learn_sigma;
  return shape;
}

RasterShape raster_shape(const ModelConfig& config, std::int64_t num_classes) {
  RasterShape shape;
  shape.depth = config.depth;
  shape.width = config.width;
  shape.num_heads = heads_of(config);
  shape.num_classes = num_classes;
  shape.vocab_size = config.raster.vocab_size;
  shape.tokens_per_side = config.raster.tokens_per_side;
  shape.has_dropped_label = config.raster.dropped_label;
  return shape;
}

}  // namespace bitlaw::distill
